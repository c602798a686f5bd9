"""The distances of paper 002: zero for true poses, rising with the error, and what occlusion does to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.frames.types import Detection
from binpose_core.rendering.renderer import Renderer
from binpose_self_training.selection.image_distance import (
    EncoderFeatures,
    ModuleFeatures,
    RenderedFrame,
    image_distance,
    level_distance,
)
from binpose_self_training.selection.mask_distance import mask_distance
from binpose_self_training.selection.pose_crops import PoseCropper
from binpose_self_training.selection.surface_distance import chamfer_distance, surface_distance, visible_points

from ..conftest import moved

SHIFTS = (0.0, 0.004, 0.008, 0.016)


def distances(known, parts, poses, **options):
    crops = PoseCropper(parts)(known.scene.frame, known.detections, poses)
    own = [parts[pose.object_id] for pose in poses]
    return mask_distance(crops, options.get("occlusion_aware", True)), surface_distance(crops, poses, own, **options)


def test_true_poses_have_almost_no_distance(known, parts):
    d_mask, d_g = distances(known, parts, known.poses)
    assert (d_mask < 1e-9).all() and (d_g < 0.01).all()


def test_both_distances_rise_with_a_shift(known, parts):
    rows = [distances(known, parts, [moved(p, (s, 0, 0)) for p in known.poses]) for s in SHIFTS]
    for column in (0, 1):
        values = np.array([row[column] for row in rows])
        assert (np.diff(values, axis=0) > 0).all()


def test_a_shift_along_the_line_of_sight_is_seen_by_the_surface_alone(known, parts):
    deeper = [moved(pose, (0, 0, 0.006)) for pose in known.poses]
    d_mask, d_g = distances(known, parts, deeper, occlusion_aware=False)
    assert (d_mask < 0.05).all()  # the silhouette hardly changes
    assert (d_g > 0.1).all()


def test_mask_distance_is_the_equation_of_the_paper(known, parts):
    poses = [moved(pose, (0.005, 0.003, 0)) for pose in known.poses]
    crops = PoseCropper(parts)(known.scene.frame, known.detections, poses)
    for b, value in enumerate(mask_distance(crops, occlusion_aware=False)):
        inside = crops.inside[b]
        observed, rendered = crops.observed_mask[b][inside], crops.rendered_mask[b][inside]
        s = 0.5 * (rendered[observed].mean() + (~observed)[~rendered].mean())
        assert value == pytest.approx(1 - s)


def test_what_hides_a_part_does_not_make_its_pose_worse(known, parts):
    """A plate over half of a part: its detection has the other half alone."""
    frame, pose, whole = known.scene.frame, known.poses[0], known.detections[0].full_mask(120, 160)
    u = round(float(frame.camera.project(pose.T_cam_obj[:3, 3])[0]))
    depth, visible = frame.depth_m.copy(), whole.copy()
    depth[:, u:], visible[:, u:] = 0.25, False
    hidden = replace(known.scene, frame=replace(frame, depth_m=depth))
    covered = replace(known, scene=hidden, detections=[Detection.from_mask(pose.object_id, 0.9, visible)])
    aware, unaware = (distances(covered, parts, [pose], occlusion_aware=on) for on in (True, False))
    assert aware[0][0] < 0.01 and aware[1][0] < 0.01
    assert unaware[1][0] > 5 * aware[1][0]


def test_hidden_point_removal_and_the_renderer_find_about_the_same_surface(known, parts):
    _, drawn = distances(known, parts, known.poses)
    _, removed = distances(known, parts, known.poses, visible="hidden_point_removal")
    assert (removed < 0.06).all() and (drawn < removed).all()
    shifted = [moved(pose, (0, 0, 0.01)) for pose in known.poses]
    _, wrong = distances(known, parts, shifted, visible="hidden_point_removal", occlusion_aware=False)
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
    _, d_g = distances(replace(known, scene=blind), parts, known.poses)
    assert np.isinf(d_g).all()


def rendered_of(known, parts, poses):
    names = list(parts)
    return RenderedFrame(known.scene.frame, poses, Renderer([part.mesh for part in parts.values()]), names)


def test_a_frame_with_true_poses_is_rendered_as_it_was_observed(known, parts):
    rendered = rendered_of(known, parts, known.poses)
    np.testing.assert_allclose(rendered.frame.depth_m, known.scene.frame.depth_m, atol=2e-5)
    np.testing.assert_array_equal(rendered.labels, known.scene.instance_ids)
    own = rendered.labels == 0
    assert rendered.frame.color[own].mean() == pytest.approx(known.scene.frame.color[own].mean(), abs=2)


@pytest.mark.parametrize("kind", ["own encoder", "any module"])
def test_wrong_poses_look_less_like_the_image(known, parts, networks, kind):
    if kind == "own encoder":
        features = EncoderFeatures(networks.estimator)
        assert len(features.levels) == 3
    else:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, 2), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2))
        features = ModuleFeatures(module, ["0", "2"], parts)
    right, wrong = (
        image_distance(features, known.scene.frame, known.detections, poses, rendered_of(known, parts, poses))
        for poses in (known.poses, [moved(pose, (0.008, 0, 0), (0.4, 0, 0.3)) for pose in known.poses])
    )
    assert (right < wrong).all()


def test_the_distance_of_features_does_not_depend_on_their_scale(rng):
    one, other = (torch.from_numpy(rng.normal(size=(2, 4, 3, 3))) for _ in range(2))
    np.testing.assert_allclose(level_distance(one, other), level_distance(3 * one, 0.5 * other))
    np.testing.assert_allclose(level_distance(one, one), 0, atol=1e-12)
