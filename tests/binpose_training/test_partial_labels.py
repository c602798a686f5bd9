"""Calibration and evaluation take neither a right nor a wrong pose from what is not known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.evaluation.matching import EvaluationConfig, Verdict, view_truths
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import BACKGROUND, LabelledView, PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_training.calibration import evaluate_views, frame_truth
from binpose_training.calibration_samples import label_of, weight_under

KEEP = np.array([True, True, False])


@pytest.fixture
def view(scenes: Sequence) -> LabelledView:
    """A step, a rod and another step."""
    scene = scenes[0]
    return LabelledView(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids, np.ones(3))


@pytest.fixture
def errors(objects: tuple[ObjectModel, ...]) -> dict[str, PartErrors]:
    return {model.id: PartErrors(model) for model in objects}


def is_right(name: str, T_cam_obj: np.ndarray, view: LabelledView, errors: dict[str, PartErrors]) -> bool | None:
    return label_of(name, T_cam_obj, view, view_truths(view), errors)


def aside(T_cam_obj: np.ndarray, x_m: float, y_m: float = 0.0) -> np.ndarray:
    moved = T_cam_obj.copy()
    moved[:2, 3] += [x_m, y_m]
    return moved


def test_a_pose_on_unknown_pixels_is_neither_right_nor_wrong(view, errors) -> None:
    hidden = hide_instances(view, KEEP)
    first, rod, last = view.T_cam_obj
    assert is_right("step", last, view, errors) is True and is_right("step", last, hidden, errors) is None
    assert is_right("rod", last, view, errors) is False and is_right("rod", last, hidden, errors) is None
    for known in (view, hidden):
        assert is_right("step", first, known, errors) is True and is_right("rod", rod, known, errors) is True
        assert is_right("rod", first, known, errors) is False, "of another class on a known part"
        assert is_right("step", aside(first, 0.01), known, errors) is False
        assert is_right("step", aside(first, 0, -0.06), known, errors) is False, "on the known background"
    nothing = hide_instances(view, KEEP, keep_background=False)
    assert is_right("step", aside(first, 0, -0.06), nothing, errors) is None


def test_a_part_of_known_class_alone_is_still_none_of_another_class(view, errors) -> None:
    poses = view.T_cam_obj.copy()
    poses[2] = np.nan
    without_pose = replace(view, T_cam_obj=poses)
    assert is_right("step", view.T_cam_obj[2], without_pose, errors) is None
    assert is_right("rod", view.T_cam_obj[2], without_pose, errors) is False


def test_right_and_wrong_poses_on_a_part_have_its_weight(view, errors) -> None:
    weighted = replace(view, weight=np.array([0.3, 1.0, 0.6]))
    first, _, last = view.T_cam_obj
    for name, T, weight in (("step", first, 0.3), ("rod", first, 0.3), ("step", last, 0.6)):
        assert weight_under(T, errors[name].points, weighted) == pytest.approx(weight)
    assert weight_under(aside(first, 0, -0.06), errors["step"].points, weighted) == 1.0


def test_unknown_parts_and_what_is_found_on_them_count_for_no_figure(view, objects) -> None:
    hidden = hide_instances(view, KEEP)
    poses = [PoseEstimate(name, T, 0.9) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]
    poses.append(PoseEstimate("rod", aside(view.T_cam_obj[0], 0, -0.06), 0.8))
    models, config = {model.id: model for model in objects}, EvaluationConfig()
    (full,) = evaluate_views([view], [poses], models, config)
    (partial,) = evaluate_views([hidden], [poses], models, config)
    right, wrong = Verdict.RIGHT, Verdict.WRONG
    assert [e.verdict for e in full.estimates] == [right, right, right, wrong]
    assert [e.verdict for e in partial.estimates] == [right, right, Verdict.UNKNOWN, wrong]
    assert len(full.parts) == 3 and len(partial.parts) == 2


def test_full_labels_are_complete(view) -> None:
    truth = frame_truth(view)
    assert truth.unknown is None and truth.complete is None and len(truth.parts) == 3
    without_pose = replace(view, T_cam_obj=np.where(KEEP[:, None, None], view.T_cam_obj, np.nan))
    np.testing.assert_array_equal(frame_truth(without_pose).unknown, view.instance_ids == 2)
    assert (view.instance_ids == BACKGROUND).any()
