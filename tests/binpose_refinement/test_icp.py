import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.icp import Schedule, align
from binpose_refinement.observation import observe

from .conftest import CAMERA, detection, distance_m, draw, perturbed, pose

SCHEDULE = Schedule(48, 0, 6, 0.12, 0.0, 0.002, 0.1, 0.002)


@pytest.fixture(scope="module")
def part_renderer(parts):
    return PartRenderer(parts, (5000,))


def batch_of(part_renderer, scene, poses):
    part = np.array([part_renderer.ids.index(name) for name in scene.ids], np.int64)
    return HypothesisBatch(np.arange(len(part)), part, np.array(poses), np.ones(len(part)))


def aligned(part_renderer, scene, poses, frame=None):
    observation = observe(frame or scene.frame, scene.detections, 2e-4)
    return align(part_renderer, observation, batch_of(part_renderer, scene, poses), SCHEDULE)


def errors(parts, scene, T):
    return np.array([distance_m(parts[n], a, b) for n, a, b in zip(scene.ids, T, scene.T_cam_obj, strict=True)])


def test_perturbed_poses_come_back(parts, pile, part_renderer):
    rng = np.random.default_rng(0)
    start = [perturbed(rng, parts[n], T) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    end = errors(parts, pile, aligned(part_renderer, pile, start).T_cam_obj)
    assert np.median(end) < 0.0004 and end.max() < 0.0015
    assert (end < errors(parts, pile, np.array(start))).all()


def test_the_truth_stays_where_it_is(parts, part_renderer):
    rng = np.random.default_rng(1)
    scene = draw(
        parts,
        ["cleat", "plate"],
        [pose(rng, parts["cleat"], (0.05, 0, 0.6)), pose(rng, parts["plate"], (-0.05, 0, 0.6))],
        0,
        0,
    )
    assert errors(parts, scene, aligned(part_renderer, scene, scene.T_cam_obj).T_cam_obj).max() < 0.0002


def test_never_worse_than_the_start_by_its_own_measure(parts, pile, part_renderer):
    rng = np.random.default_rng(2)
    start = [perturbed(rng, parts[n], T, 40, 0.3) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    result = aligned(part_renderer, pile, start)
    observation = observe(pile.frame, pile.detections, 2e-4)
    still = Schedule(48, 0, 0, 0.0, 0.0, 0.002, 0.1, 0.002)
    before = align(part_renderer, observation, batch_of(part_renderer, pile, start), still).agreement
    assert (result.agreement >= before).all()


def test_a_neighbour_in_front_does_not_pull(parts, part_renderer):
    rng = np.random.default_rng(4)
    below, above = pose(rng, parts["cleat"], (0, 0, 0.64)), pose(rng, parts["rod"], (0.015, 0.0, 0.60))
    scene = draw(parts, ["cleat", "rod"], [below, above])
    start = [perturbed(rng, parts["cleat"], below, 8, 0.04), above]
    assert errors(parts, scene, aligned(part_renderer, scene, start).T_cam_obj)[0] < 0.001


def test_where_depth_is_missing_the_mask_pulls_sideways(parts, part_renderer):
    rng = np.random.default_rng(6)
    truth = pose(rng, parts["cleat"], (0, 0, 0.6))
    scene = draw(parts, ["cleat"], [truth])
    depth = np.where(scene.instance_ids >= 0, 0, scene.frame.depth_m)
    shifted = truth.copy()
    shifted[:2, 3] += (0.004, -0.003)
    frame = RgbdFrame(scene.frame.color, depth, CAMERA)
    moved = aligned(part_renderer, scene, [shifted], frame).T_cam_obj[0]
    assert np.linalg.norm(moved[:2, 3] - truth[:2, 3]) < 0.0015


def test_points_outside_the_mask_join_where_the_rendering_meets_them(parts, part_renderer):
    """Half of the mask is missing; the pose is still found to a fraction of a millimetre."""
    rng = np.random.default_rng(7)
    truth = pose(rng, parts["cleat"], (0, 0, 0.6))
    scene = draw(parts, ["cleat"], [truth])
    mask = scene.instance_ids == 0
    mask[:, int(np.median(np.nonzero(mask)[1])) :] = False
    scene.detections = [detection("cleat", mask)]
    result = aligned(part_renderer, scene, [perturbed(rng, parts["cleat"], truth, 5, 0.03)])
    assert errors(parts, scene, result.T_cam_obj)[0] < 0.001
