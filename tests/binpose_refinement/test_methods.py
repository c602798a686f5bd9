"""What cannot be refined comes back as it was, with a low score and a reason, and harms nothing beside it."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_refinement import hypothesis_batch as batches
from binpose_refinement.hypothesis_batch import HypothesisBatch, in_turns
from binpose_refinement.refiner import IcpRefiner

from .conftest import CAMERA, detection, distance_m, draw, guesses, perturbed

METHODS = ["icp", "render_and_compare"]


@pytest.fixture(scope="module", params=METHODS)
def chosen(request, refiner) -> IcpRefiner:
    return refiner.using(request.param)


def starts(parts, pile):
    rng = np.random.default_rng(0)
    return [
        guesses((name, perturbed(rng, parts[name], T, 4.0, 0.04), 0.9), index=index)
        for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]


def check(parts, pile, found, bad: int, reason: str) -> None:
    """The bad one has a reason and a low score; all is finite; the others are found."""
    (one,) = [pose for pose in found if pose.detection_index == bad]
    assert one.score < 0.05 and one.residuals[reason] == 1.0
    others = [pose for pose in found if pose.detection_index != bad]
    errors = [distance_m(parts[p.object_id], p.T_cam_obj, pile.T_cam_obj[p.detection_index]) for p in others]
    assert len(errors) == len(pile.ids) - 1 and np.median(errors) < 0.001
    for pose in others:
        assert np.isfinite(pose.T_cam_obj).all() and np.isfinite(pose.score)
        assert np.isfinite(list(pose.residuals.values())).all()


@pytest.mark.parametrize(
    ("reason", "place"),
    [
        ("no_overlap", (0.25, 0.15, 0.0)),
        ("behind_camera", (0.0, 0.0, -1.5)),
        ("outside_image", (3.0, 0.0, 0.0)),
        ("not_finite", (np.nan, 0.0, 0.0)),
    ],
)
def test_poses_far_from_their_masks(parts, pile, chosen, reason, place) -> None:
    poses = starts(parts, pile)
    T = poses[4].T_cam_obj.copy()
    T[:3, 3] += place
    poses[4] = guesses((pile.ids[4], T, 0.9), index=4)
    found = chosen(pile.frame, pile.detections, poses)
    check(parts, pile, found, 4, reason)
    (bad,) = [pose for pose in found if pose.detection_index == 4]
    if reason != "not_finite":
        np.testing.assert_array_equal(bad.T_cam_obj, T)


@pytest.mark.parametrize("wrong", ["zero", "scaled", "mirrored", "last row"])
def test_motions_that_are_not_rigid(parts, pile, chosen, wrong) -> None:
    poses = starts(parts, pile)
    T = poses[4].T_cam_obj.copy()
    if wrong == "last row":
        T[3] = 0.0
    else:
        T[:3, :3] = T[:3, :3] @ np.diag({"zero": [0, 0, 0], "scaled": [1.1] * 3, "mirrored": [-1, 1, 1]}[wrong])
    poses[4] = guesses((pile.ids[4], T, 0.9), index=4)
    check(parts, pile, chosen(pile.frame, pile.detections, poses), 4, "not_rigid")


def test_a_mask_of_one_pixel(parts, pile, chosen) -> None:
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    mask[240, 320] = True
    changed = replace(pile, detections=[*pile.detections])
    changed.detections[2] = detection(pile.ids[2], mask)
    found = chosen(pile.frame, changed.detections, starts(parts, changed))
    check(parts, changed, found, 2, "mask_too_small")


def test_depth_that_is_not_a_number(parts, pile, chosen) -> None:
    depth = pile.frame.depth_m.copy()
    depth[::3] = np.nan
    depth[1::7] = np.inf
    frame = RgbdFrame(pile.frame.color, depth, CAMERA)
    for pose in chosen(frame, pile.detections, starts(parts, pile)):
        assert np.isfinite(pose.T_cam_obj).all() and np.isfinite(list(pose.residuals.values())).all()
        assert pose.score > 0.2


def test_degenerate_faces(parts, chosen) -> None:
    """Faces without an area, and vertices twice over, change no pose."""
    whole = parts["cleat"]
    extra = np.array([[0, 0, 1], [2, 2, 2], [0, len(whole.mesh.vertices), 1]], np.int32)
    vertices = np.concatenate([whole.mesh.vertices, whole.mesh.vertices[:1]])
    broken = replace(whole, mesh=Mesh(vertices, np.concatenate([whole.mesh.faces, extra])))
    truth = from_rotation_translation(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 0.6]))
    scene = draw(parts, ["cleat"], [truth])
    off = perturbed(np.random.default_rng(1), whole, truth, 5.0, 0.05)
    poses = [guesses(("cleat", off, 0.9), index=0)]
    refiners = [IcpRefiner({"cleat": part}, chosen.config) for part in (whole, broken)]
    good, same = ((r(scene.frame, scene.detections, poses))[0] for r in refiners)
    assert np.isfinite(same.T_cam_obj).all()
    np.testing.assert_allclose(same.T_cam_obj, good.T_cam_obj, atol=1e-4)


def test_more_instances_than_are_drawn_at_once(parts, pile, chosen, monkeypatch) -> None:
    """Taken in turns, the poses are the same to the last bit."""
    poses = starts(parts, pile)
    together = chosen(pile.frame, pile.detections, poses)
    monkeypatch.setattr(batches, "CROPS_AT_ONCE", 2)
    in_turn = chosen(pile.frame, pile.detections, poses)
    assert [p.score for p in in_turn] == [p.score for p in together]
    for a, b in zip(in_turn, together, strict=True):
        np.testing.assert_array_equal(a.T_cam_obj, b.T_cam_obj)


def test_turns_keep_detections_whole_and_rows_in_order(monkeypatch) -> None:
    monkeypatch.setattr(batches, "CROPS_AT_ONCE", 3)
    owner = np.array([2, 0, 2, 1, 0, 2, 1, 3])
    batch = HypothesisBatch(owner, np.arange(8), np.tile(np.eye(4), (8, 1, 1)), np.ones(8))
    seen = []

    def function(some: HypothesisBatch):
        seen.append(some.owner)
        return some.part, some.owner

    part, same = in_turns(batch, function)
    np.testing.assert_array_equal(part, np.arange(8))
    np.testing.assert_array_equal(same, owner)
    assert len(seen) > 2 and all(set(a).isdisjoint(b) for i, a in enumerate(seen) for b in seen[:i])
