"""A pose is of what its detection saw, however well the depth agrees with it elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_refinement.calibration import Calibration
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.overlap import on_mask
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import FEATURES

from .conftest import CAMERA, FLOOR_M, detection, distance_m, draw, guesses, perturbed


@pytest.fixture(scope="module")
def calibration(parts, pile, refiner) -> Calibration:
    """Fitted as a model's is: on hypotheses that lie on their own masks."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(4):
        poses = [
            guesses(*[(name, perturbed(rng, parts[name], T, d, 0.1), 0.5) for d in (5, 40, 90, 180)], index=index)
            for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
        ]
        for c in refiner.candidates(pile.frame, pile.detections, poses):
            off = distance_m(parts[c.object_id], c.T_cam_obj, pile.T_cam_obj[c.detection_index])
            rows.append((c.features, off < 0.005))
    features, right = (np.array(column) for column in zip(*rows, strict=True))
    return fit_calibration(features, right)


@pytest.fixture(params=["icp", "render_and_compare", "calibrated"])
def chosen(request, refiner, parts, calibration) -> IcpRefiner:
    if request.param == "calibrated":
        return IcpRefiner(parts, refiner.config, calibration)
    return refiner.using(request.param)


def is_as_it_came(pose: PoseEstimate, T: np.ndarray, reason: str) -> None:
    assert pose.score == 0.0 and pose.residuals == {reason: 1.0}
    np.testing.assert_array_equal(pose.T_cam_obj, T)


@pytest.mark.parametrize("others", [False, True], ids=["alone", "neighbour reported"])
def test_on_a_neighbour(parts, pile, chosen: IcpRefiner, others: bool) -> None:
    """Of its kind, at its place but for a little."""
    T = perturbed(np.random.default_rng(2), parts["cleat"], pile.T_cam_obj[3], 3.0, 0.03)
    bad = guesses(("cleat", T, 0.9), index=0)
    good = [guesses(("cleat", pile.T_cam_obj[3], 0.9), index=3)] if others else []
    found = chosen(pile.frame, pile.detections, [bad, *good])
    is_as_it_came(found[-1], T, "no_overlap")
    assert [pose.detection_index for pose in found] == [3] * others + [0]
    assert all(pose.score > 0.5 for pose in found[:-1])


def test_on_the_floor(parts, pile, chosen: IcpRefiner) -> None:
    """A plate has a face as flat as the floor."""
    T = from_rotation_translation(np.eye(3), np.array([0.2, 0.15, FLOOR_M + 0.005]))
    poses = [guesses(("plate", T, 0.9), index=1)]
    (found,) = chosen(pile.frame, pile.detections, poses)
    is_as_it_came(found, T, "no_overlap")


def test_below_the_mask(parts, chosen: IcpRefiner) -> None:
    """The plate lies right, and what its detection saw is the rod that lies across it."""
    flat = from_rotation_translation(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 0.62]))
    across = from_rotation_translation(exp_so3(np.array([np.pi / 2, 0, 0])), np.array([-0.015, 0.0, 0.595]))
    scene = draw(parts, ["plate", "rod"], [flat, across], noise_m=0.0, dropout=0.0)
    rod = replace(scene.detections[1], object_id="plate")
    (found,) = chosen(scene.frame, [rod], [guesses(("plate", flat, 0.9), index=0)])
    is_as_it_came(found, flat, "no_overlap")


def test_a_coarse_guess_beside_its_mask_is_refined(parts, pile, chosen: IcpRefiner) -> None:
    """A tenth of the diameter off, on a mask of which half is missing: they hardly touch, and belong together."""
    scene = draw(parts, ["cleat"], [from_rotation_translation(np.diag([1.0, -1.0, -1.0]), np.array([0, 0, 0.6]))])
    mask = scene.instance_ids == 0
    mask[:, : int(np.nonzero(mask.any(0))[0].mean())] = False
    off = scene.T_cam_obj[0].copy()
    off[0, 3] -= 0.1 * parts["cleat"].diameter_m
    half = detection("cleat", mask)
    (found,) = chosen(scene.frame, [half], [guesses(("cleat", off, 0.9), index=0)])
    assert distance_m(parts["cleat"], found.T_cam_obj, scene.T_cam_obj[0]) < 0.002 and found.score > 0.1


@pytest.mark.parametrize("reach", [0.0, 0.12, 0.3])
def test_the_mask_is_grown_by_a_share_of_the_diameter(parts, reach: float) -> None:
    """A rod seen end on, moved sideways until it no longer touches; also beyond the image."""
    rod, part_renderer = parts["rod"], PartRenderer(parts, (300,))
    at = from_rotation_translation(np.eye(3), np.array([0.0, 0.0, 0.6]))
    (seen,) = draw(parts, ["rod"], [at]).detections
    touching_m = 2 * 0.008 + reach * rod.diameter_m
    shifts = np.array([0.0, touching_m - 0.003, touching_m + 0.003, 0.3, 5.0])
    moved = np.repeat(at[None], len(shifts), 0)
    moved[:, 1, 3] += shifts
    batch = HypothesisBatch(np.zeros(len(shifts), np.int64), np.full(len(shifts), 2), moved, np.ones(len(shifts)))
    assert on_mask(part_renderer, CAMERA, [seen], batch, reach).tolist() == [True, True, False, False, False]


def test_parts_that_others_leave_no_room_for_say_so(parts, pile, refiner) -> None:
    """One pose for two detections of one part, and another kind of part inside of it."""
    mask = pile.instance_ids == 0
    left, right = mask.copy(), mask.copy()
    middle = int(np.nonzero(mask.any(0))[0].mean())
    left[:, middle:], right[:, :middle] = False, False
    halves = [detection("cleat", left), detection("cleat", right, 0.8)]
    poses = [guesses(("cleat", pile.T_cam_obj[0], 0.9), index=index) for index in range(2)]
    best, other = refiner(pile.frame, halves, poses)
    assert best.score > 0.1
    is_as_it_came(other, pile.T_cam_obj[0], "duplicate")
    strict = IcpRefiner(parts, replace(refiner.config, claimed_share=1.0))
    *_, crowded = strict(pile.frame, halves, poses)
    is_as_it_came(crowded, pile.T_cam_obj[0], "inside_another")


def test_scores_that_are_no_numbers_say_nothing(parts, pile, refiner) -> None:
    found = replace(pile.detections[0], score=float("nan"))
    poses = [guesses(("cleat", pile.T_cam_obj[0], float("inf")), index=0)]
    (pose,) = refiner(pile.frame, [found, *pile.detections[1:]], poses)
    assert set(FEATURES) <= set(pose.residuals) and np.isfinite(list(pose.residuals.values())).all()
    assert pose.score > 0.3


def test_a_pose_that_is_nowhere_is_put_where_its_detection_lies(pile, refiner) -> None:
    nowhere = np.full((4, 4), np.nan)
    for depth_m, expected in ((0.7, 0.7), (float("nan"), 1.0)):
        found = replace(pile.detections[5], center_depth_m=depth_m)
        (pose,) = refiner(pile.frame, [found], [guesses(("rod", nowhere, 0.9), index=0)])
        assert pose.score == 0.0 and pose.residuals == {"not_finite": 1.0} and pose.hypotheses == ()
        np.testing.assert_array_equal(pose.T_cam_obj[:3, :3], np.eye(3))
        assert pose.T_cam_obj[2, 3] == expected
        np.testing.assert_allclose(CAMERA.project(pose.T_cam_obj[None, :3, 3])[0], found.center_px, atol=1e-6)


def test_more_detections_than_sixteen_bits_count(pile, refiner) -> None:
    empty = replace(pile.detections[0], mask=np.zeros_like(pile.detections[0].mask), score=0.1)
    many = [empty] * 32_800 + [pile.detections[0]]
    (pose,) = refiner(pile.frame, many, [guesses(("cleat", pile.T_cam_obj[0], 0.9), index=len(many) - 1)])
    assert pose.score > 0.3 and pose.residuals["mask_explained"] > 0.5
