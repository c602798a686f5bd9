"""d_mask of paper 002: zero for true poses, rising with the error, and what occlusion does to it."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import Detection
from binpose_self_training.selection.mask_distance import mask_distance
from binpose_self_training.selection.pose_crops import PoseCropper

from ..conftest import half_hidden, moved


def distance(known, parts, poses, occlusion_aware=True):
    return mask_distance(PoseCropper(parts)(known.scene.frame, known.detections, poses), occlusion_aware)


def test_true_poses_have_no_distance(known, parts):
    assert (distance(known, parts, known.poses) < 1e-9).all()


def test_the_distance_rises_with_a_shift(known, parts):
    values = [distance(known, parts, [moved(p, (s, 0, 0)) for p in known.poses]) for s in (0.0, 0.004, 0.008, 0.016)]
    assert (np.diff(values, axis=0) > 0).all()


def test_a_shift_along_the_line_of_sight_hardly_changes_the_silhouette(known, parts):
    deeper = [moved(pose, (0, 0, 0.006)) for pose in known.poses]
    assert (distance(known, parts, deeper, occlusion_aware=False) < 0.05).all()


def test_mask_distance_is_the_equation_of_the_paper(known, parts):
    poses = [moved(pose, (0.005, 0.003, 0)) for pose in known.poses]
    crops = PoseCropper(parts)(known.scene.frame, known.detections, poses)
    for b, value in enumerate(mask_distance(crops, occlusion_aware=False)):
        inside = crops.inside[b]
        observed, rendered = crops.observed_mask[b][inside], crops.rendered_mask[b][inside]
        s = 0.5 * (rendered[observed].mean() + (~observed)[~rendered].mean())
        assert value == pytest.approx(1 - s)


def test_what_hides_a_part_does_not_make_its_pose_worse(known, parts):
    covered = half_hidden(known)
    assert distance(covered, parts, known.poses[:1])[0] < 0.01


def test_a_pose_without_a_mask_is_as_bad_as_can_be(known, parts):
    corner = np.zeros((120, 160), bool)
    corner[-3:, -3:] = True
    lost = replace(known, detections=[Detection.from_mask("step", 0.9, corner), *known.detections[1:]])
    assert distance(lost, parts, known.poses)[0] == 1.0
