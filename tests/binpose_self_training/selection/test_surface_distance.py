"""d_g of paper 002: zero for true poses, rising with the error, and what occlusion does to it."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_self_training.selection.pose_crops import PoseCropper
from binpose_self_training.selection.surface_distance import chamfer_distance, surface_distance, visible_points

from ..conftest import half_hidden, moved


def distance(known, parts, poses, **options):
    crops = PoseCropper(parts)(known.scene.frame, known.detections, poses)
    return surface_distance(crops, poses, [parts[pose.object_id] for pose in poses], **options)


def test_true_poses_have_almost_no_distance(known, parts):
    assert (distance(known, parts, known.poses) < 0.01).all()


def test_the_distance_rises_with_a_shift(known, parts):
    values = [distance(known, parts, [moved(p, (s, 0, 0)) for p in known.poses]) for s in (0.0, 0.004, 0.008, 0.016)]
    assert (np.diff(values, axis=0) > 0).all()


def test_a_shift_along_the_line_of_sight_is_seen(known, parts):
    deeper = [moved(pose, (0, 0, 0.006)) for pose in known.poses]
    assert (distance(known, parts, deeper, occlusion_aware=False) > 0.1).all()


def test_what_hides_a_part_does_not_make_its_pose_worse(known, parts):
    covered, pose = half_hidden(known), known.poses[:1]
    aware, unaware = (distance(covered, parts, pose, occlusion_aware=on)[0] for on in (True, False))
    assert aware < 0.01 and unaware > 5 * aware


def test_hidden_point_removal_and_the_renderer_find_about_the_same_surface(known, parts):
    drawn = distance(known, parts, known.poses)
    removed = distance(known, parts, known.poses, visible="hidden_point_removal")
    assert (removed < 0.06).all() and (drawn < removed).all()
    shifted = [moved(pose, (0, 0, 0.01)) for pose in known.poses]
    wrong = distance(known, parts, shifted, visible="hidden_point_removal", occlusion_aware=False)
    assert (wrong > 2 * removed).all()


def test_hidden_points_of_a_sphere_are_those_behind_its_horizon(rng):
    normals = rng.normal(size=(2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    center = np.array([0.0, 0.0, 1.0])
    points = center + 0.1 * normals
    seen = np.isin(np.arange(2000), visible_points(points))
    facing = -(normals * points).sum(1) / np.linalg.norm(points, axis=1)
    assert seen[facing > 0.2].mean() > 0.95
    assert seen[facing < -0.2].mean() < 0.02


def test_chamfer_distance_is_symmetric_and_zero_for_equal_sets(rng):
    one, other = rng.normal(size=(50, 3)), rng.normal(size=(70, 3))
    assert chamfer_distance(one, one) == 0
    assert chamfer_distance(one, other) == pytest.approx(chamfer_distance(other, one))


def test_without_observed_points_the_distance_is_infinite(known, parts):
    depth = np.where(known.scene.instance_ids >= 0, np.float32(0), known.scene.frame.depth_m)
    blind = replace(known.scene, frame=replace(known.scene.frame, depth_m=depth))
    assert np.isinf(distance(replace(known, scene=blind), parts, known.poses)).all()
