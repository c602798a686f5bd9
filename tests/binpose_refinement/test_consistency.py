from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.rendering.renderer import Renderer
from binpose_refinement.consistency import (
    DEPTH_AGREEMENT,
    ConsistencyConfig,
    agrees,
    depth_agreement,
    with_depth_agreement,
)
from binpose_refinement.hypothesis_batch import PartRenderer

from .conftest import CAMERA, draw, guesses, pose

FULL = 10**6


@pytest.fixture(scope="module")
def part_renderer(parts):
    return PartRenderer(parts, (FULL,))


@pytest.fixture(scope="module")
def scene(parts):
    """Three parts apart from each other, without noise, over a far floor."""
    rng = np.random.default_rng(1)
    names = list(parts)
    poses = [pose(rng, parts[name], (0.1 * (i - 1), 0.0, 0.6)) for i, name in enumerate(names)]
    return draw(parts, names, poses, noise_m=0, dropout=0, floor_m=0.9)


def estimates(scene, shift_m=0.0, score=0.9):
    moved = scene.T_cam_obj.copy()
    moved[:, 2, 3] += shift_m
    return [PoseEstimate(name, T, score) for name, T in zip(scene.ids, moved, strict=True)]


def readable_agreement(frame, estimate, part, tolerance_m):
    """The definition in numpy on a rendering of the whole image."""
    drawn = Renderer([part.mesh]).scene(np.array([0]), estimate.T_cam_obj[None], frame.camera).depth_m
    gap = (frame.depth_m - drawn)[(drawn > 0) & (frame.depth_m > 0)]
    agree, free = (np.abs(gap) <= tolerance_m).sum(), (gap > tolerance_m).sum()
    return agree / max(1, agree + free)


def test_true_poses_agree_and_poses_in_front_of_all_are_contradicted(scene, part_renderer):
    assert (depth_agreement(scene.frame, estimates(scene), part_renderer) == 1.0).all()
    assert (depth_agreement(scene.frame, estimates(scene, -0.02), part_renderer) < 0.01).all()


def test_the_crops_count_what_the_whole_image_counts(parts, pile, part_renderer):
    rng = np.random.default_rng(2)
    moved = pile.T_cam_obj.copy()
    moved[:, :3, 3] += rng.normal(0, 0.006, (len(moved), 3))
    poses = [PoseEstimate(name, T, 0.5) for name, T in zip(pile.ids, moved, strict=True)]
    expected = [readable_agreement(pile.frame, p, parts[p.object_id], 0.005) for p in poses]
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(depth_agreement(pile.frame, poses, part_renderer), expected, atol=0.005)


def test_large_parts_are_sampled_at_about_the_same_result(pile, part_renderer):
    poses = [PoseEstimate(name, T, 0.5) for name, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    fine = depth_agreement(pile.frame, poses, part_renderer)
    coarse = depth_agreement(pile.frame, poses, part_renderer, config=ConsistencyConfig(largest_px=32))
    np.testing.assert_allclose(coarse, fine, atol=0.06)


def test_an_occluder_does_not_change_the_agreement_of_the_rest(scene, part_renderer):
    depth = scene.frame.depth_m.copy()
    depth[:, : CAMERA.width // 2] = 0.3
    hidden = replace(scene.frame, depth_m=depth)
    agreement = depth_agreement(hidden, estimates(scene), part_renderer)
    assert agreement[0] == 0.0  # all of it is behind what was seen
    assert agreement[2] == 1.0
    assert agreement[1] == 1.0


def test_no_depth_is_no_evidence(scene, part_renderer):
    depth = scene.frame.depth_m.copy()
    depth[:, CAMERA.width // 2 :] = 0
    agreement = depth_agreement(replace(scene.frame, depth_m=depth), estimates(scene), part_renderer)
    assert agreement[0] == 1.0 and np.isnan(agreement[2])
    without = RgbdFrame(scene.frame.color, None, CAMERA)
    assert np.isnan(depth_agreement(without, estimates(scene), part_renderer)).all()
    assert all(agrees(p) is None for p in with_depth_agreement(without, estimates(scene), part_renderer))
    assert depth_agreement(scene.frame, [], part_renderer).shape == (0,)


def test_poses_that_cannot_be_drawn_have_no_figure(scene, part_renderer):
    behind, turned, broken = estimates(scene)
    behind.T_cam_obj[2, 3] = -1.0
    turned.T_cam_obj[:3, :3] *= 2.0
    broken.T_cam_obj[0, 0] = np.nan
    assert np.isnan(depth_agreement(scene.frame, [behind, turned, broken], part_renderer)).all()


def test_the_tolerance_grows_with_the_noise_of_the_frame_alone(parts, part_renderer):
    rng = np.random.default_rng(3)
    names = list(parts)
    poses = [pose(rng, parts[name], (0.1 * (i - 1), 0.0, 0.6)) for i, name in enumerate(names)]
    noisy = draw(parts, names, poses, noise_m=0.006, floor_m=0.9)
    assert (depth_agreement(noisy.frame, estimates(noisy), part_renderer) > 0.9).all()
    fixed = ConsistencyConfig(tolerance_sigmas=0.0)
    assert (depth_agreement(noisy.frame, estimates(noisy), part_renderer, config=fixed) < 0.8).all()


def test_the_refiner_gives_every_verified_pose_its_agreement(parts, pile, refiner):
    found = [
        guesses((name, T, 0.9), index=index)
        for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]
    refined = [p for p in refiner(pile.frame, pile.detections, found) if p.score > 0]
    assert refined and all(agrees(p) for p in refined)
    without = RgbdFrame(pile.frame.color, None, CAMERA)
    assert all(DEPTH_AGREEMENT not in p.residuals for p in refiner(without, pile.detections, found))
