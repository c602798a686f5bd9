"""BOP's average recall of poses whose errors are known."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.bop_recall import BopRecall, mean_found
from binpose_core.evaluation.matching import GroundTruth
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.rendering.renderer import Renderer

CAMERA = Camera(300.0, 300.0, 160.0, 120.0, 320, 240)


def at(x_m, z_m=0.5, turn_rad=0.0):
    return from_rotation_translation(exp_so3(np.array([0, 0, turn_rad])), np.array([x_m, 0, z_m]))


def score(model, parts, estimates, depth=True):
    rendered = Renderer([model.mesh]).scene(np.zeros(len(parts), int), np.stack([p.T_cam_obj for p in parts]), CAMERA)
    depth_m = np.where(rendered.depth_m > 0, rendered.depth_m, 0.6).astype(np.float32)
    recall = BopRecall({model.id: model})
    recall.add(parts, estimates, CAMERA, depth_m if depth else None)
    return recall.score()


def test_the_truth_has_full_recall_and_its_symmetry_too(bar):
    parts = [GroundTruth("bar", at(-0.06)), GroundTruth("bar", at(0.06))]
    half_turn = bar.symmetries.transforms()[1]
    result = score(bar, parts, [PoseEstimate("bar", part.T_cam_obj @ half_turn, 0.5) for part in parts])
    assert (result.n_parts, result.vsd, result.mssd, result.mspd, result.average) == (2, 1, 1, 1, 1)


def test_a_shift_fails_the_tighter_thresholds(bar):
    # 12 % of the diameter fails MSSD's 5 and 10 %; in the image of 320 px it is 600/640 px per mm and more.
    shift_m = 0.12 * bar.diameter_m
    result = score(bar, [GroundTruth("bar", at(0))], [PoseEstimate("bar", at(shift_m), 1.0)])
    assert result.mssd == pytest.approx(0.8)
    nearest_px = 300 * shift_m / (0.5 - 0.005) * 640 / 320
    assert result.mspd == pytest.approx(np.mean(np.arange(5, 51, 5) > nearest_px))
    assert 0.3 < result.vsd < 1 and result.average == pytest.approx(np.mean([result.vsd, result.mssd, result.mspd]))


def test_a_shift_along_the_ray_is_seen_by_vsds_tau(bar):
    # 22 % of the diameter off in depth: right for the taus 0.25 to 0.5, but for the rim that the smaller image misses.
    far = at(0, 0.5 + 0.22 * bar.diameter_m)
    result = score(bar, [GroundTruth("bar", at(0))], [PoseEstimate("bar", far, 1.0)])
    assert 0.4 <= result.vsd <= 0.6


def test_only_as_many_estimates_as_parts_may_try(bar):
    parts, right = [GroundTruth("bar", at(0))], PoseEstimate("bar", at(0), 0.5)
    assert score(bar, parts, [right, PoseEstimate("bar", at(0.1), 0.4)]).mssd == 1
    assert score(bar, parts, [right, PoseEstimate("bar", at(0.1), 0.9)]).mssd == 0
    assert score(bar, parts, [PoseEstimate("cog", at(0.1), 0.9), right]).mssd == 1, "per object"


def test_what_does_not_count_and_what_is_missed(bar):
    hidden = [GroundTruth("bar", at(0.1), visible_fraction=0.05), GroundTruth("bar", at(-0.1), ignored=True)]
    result = score(bar, [GroundTruth("bar", at(0)), *hidden], [])
    assert (result.n_parts, result.average) == (1, 0)


def test_without_depth_there_is_no_vsd(bar):
    result = score(bar, [GroundTruth("bar", at(0))], [PoseEstimate("bar", at(0), 1.0)], depth=False)
    assert result.vsd is None and result.average == 1


def test_each_threshold_is_matched_anew():
    # Loose thresholds let the first estimate take the part that only the second fits tightly; both are found then.
    errors = np.array([[0.4, 0.4], [0.1, 0.6]])
    assert mean_found(errors, (0.2,)) == 1 and mean_found(errors, (0.5,)) == 1 and mean_found(errors, (0.7,)) == 2
    assert mean_found(errors, (0.2, 0.5, 0.7)) == pytest.approx(4 / 3)


def test_an_unknown_part_is_refused(bar):
    with pytest.raises(BinposeError, match=r"A known part is 'cog', but only bar is in the catalogue"):
        BopRecall({"bar": bar}).add([GroundTruth("cog", at(0))], [PoseEstimate("cog", at(0), 1.0)], CAMERA)
