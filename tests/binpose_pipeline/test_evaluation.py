"""What hardly shows or is in doubt neither helps nor harms, by any measure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.evaluation.matching import EvaluationConfig, FrameTruth, GroundTruth
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.evaluation import PoseEvaluation, frame_notes, missed_parts


@pytest.fixture
def evaluation(objects: Sequence) -> PoseEvaluation:
    return PoseEvaluation({model.id: model for model in objects}, EvaluationConfig(min_visible_fraction=0.5))


def estimates(scene) -> list[PoseEstimate]:
    return [PoseEstimate(name, T, 0.9) for name, T in zip(scene.object_ids, scene.T_cam_obj, strict=True)]


def truth(scene, visible: Sequence[float], ignored: Sequence[bool] = (False,) * 3) -> FrameTruth:
    parts = zip(scene.object_ids, scene.T_cam_obj, visible, ignored, strict=True)
    return FrameTruth([GroundTruth(*part) for part in parts])


@pytest.mark.parametrize(
    ("visible", "ignored"), [((1.0, 1.0, 0.3), (False,) * 3), ((1.0, 1.0, 1.0), (False, False, True))]
)
def test_parts_that_do_not_count_change_no_figure(
    evaluation: PoseEvaluation, scenes: Sequence, visible: Sequence[float], ignored: Sequence[bool]
) -> None:
    frame = scenes[0].frame
    evaluation.add("a", truth(scenes[0], visible, ignored), estimates(scenes[0]), frame.camera, frame.depth_m)
    overall = evaluation.result().rows[-1]
    assert (overall.parts, overall.found, overall.wrong) == (2, 2, 0)
    assert overall.recall == overall.precision == overall.mssd == overall.mspd == 1.0
    assert overall.vsd == pytest.approx(1.0, abs=0.01)


def test_missed_and_wrong_parts_are_told_apart(evaluation: PoseEvaluation, scenes: Sequence) -> None:
    scene = scenes[0]
    known = truth(scene, (1.0, 1.0, 1.0))
    poses = estimates(scene)[:2]
    off = poses[1].T_cam_obj.copy()
    off[0, 3] += 0.02
    judged = evaluation.add("a", known, [poses[0], PoseEstimate("rod", off, 0.8)], scene.frame.camera, None)
    assert missed_parts(judged, known, evaluation.objects, evaluation.config) == [1, 2]
    assert [note.split()[0] for note in frame_notes(judged)] == ["error", "wrong"]
    rows = {row.object_id: row for row in evaluation.result().rows}
    assert (rows["step"].recall, rows["step"].precision) == (0.5, 1.0)
    assert (rows["rod"].recall, rows["rod"].precision) == (0.0, 0.0)
    assert rows["all"].vsd is None  # there was no depth


def test_bop_recalls_do_not_depend_on_what_else_is_annotated(evaluation: PoseEvaluation, scenes: Sequence) -> None:
    scene = scenes[0]
    whole = truth(scene, (1.0, 1.0, 1.0))
    poses = estimates(scene)
    off = poses[0].T_cam_obj.copy()
    off[0, 3] += 0.12 * evaluation.objects[poses[0].object_id].diameter_m  # beyond 10 %, right at BOP's looser ones
    poses = [replace(poses[0], T_cam_obj=off), *poses[1:]]
    figures = []
    for complete in (whole.complete, ()):
        each = PoseEvaluation(evaluation.objects, evaluation.config)
        each.add("a", replace(whole, complete=complete), poses, scene.frame.camera, scene.frame.depth_m)
        row = {row.object_id: row for row in each.result().rows}[poses[0].object_id]
        figures.append((row.vsd, row.mssd, row.mspd))
    assert 0.5 < figures[0][1] < 1.0
    assert figures[0] == figures[1]


def test_an_evaluation_of_nothing_has_no_figures(evaluation: PoseEvaluation) -> None:
    overall = evaluation.result().rows[-1]
    assert overall.parts == 0 and np.isnan(overall.recall) and np.isnan(overall.median_error_mm)


def test_the_symmetric_turn_of_a_part_is_right(evaluation: PoseEvaluation, scenes: Sequence) -> None:
    scene = scenes[0]
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])  # half a turn about z: the rod's axis, but none of the step's symmetries
    poses = [PoseEstimate(pose.object_id, pose.T_cam_obj @ turn, 0.9) for pose in estimates(scene)]
    evaluation.add("a", truth(scene, (1.0, 1.0, 1.0)), poses, scene.frame.camera, scene.frame.depth_m)
    rows = {row.object_id: row for row in evaluation.result().rows}
    assert rows["rod"].recall == rows["rod"].mssd_recall == 1.0
    assert rows["step"].recall == rows["step"].mssd_recall == 0.0
