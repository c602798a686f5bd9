"""Each part of a bin counts once, as the view that sees most of it shows it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.matching import EvaluationConfig, FrameTruth, GroundTruth
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import inverse
from binpose_pipeline.runs import FrameOutcome
from binpose_pipeline.scene.bin_evaluation import BinEvaluation, joined_truth
from binpose_pipeline.scene.scene_runs import SceneDirectory, SceneOutcome

from .conftest import Bin, looking

PLACES = [looking(2 * np.pi * k / 3) for k in range(3)]
VISIBLE = np.array([[0.9, 0.2, 0.6, 0.0, 0.5, 0.3], [0.1, 0.2, 0.7, 0.9, 0.5, 0.1], [0.3, 0.1, 0.2, 0.4, 0.5, 0.0]])


def annotated(cell: Bin, shift_m: float = 0.0) -> list[list[GroundTruth]]:
    """The parts in each camera; a view's annotations may be off."""
    found = []
    for number, T_world_cam in enumerate(PLACES):
        T_cam_obj = inverse(T_world_cam) @ cell.T_world_obj
        T_cam_obj[:, 0, 3] += number * shift_m
        found.append([GroundTruth(*part) for part in zip(cell.names, T_cam_obj, VISIBLE[number], strict=True)])
    return found


@pytest.mark.parametrize("shift_m", [0.0, 0.001])
def test_a_part_that_all_views_show_is_one_part(cell: Bin, shift_m: float) -> None:
    parts = annotated(cell, shift_m)
    for order in ([0, 1, 2], [2, 0, 1]):
        found = joined_truth([PLACES[k] for k in order], [parts[k] for k in order], cell.objects)
        assert [part.object_id for part in found] == cell.names
        assert [part.visible_fraction for part in found] == VISIBLE.max(axis=0).tolist()
        off_m = np.linalg.norm([p.T_cam_obj[:3, 3] for p in found] - cell.T_world_obj[:, :3, 3], axis=1)
        assert off_m.max() <= 2 * shift_m + 1e-9


def test_parts_count_when_one_view_shows_enough_of_them(cell: Bin) -> None:
    config = EvaluationConfig(min_visible_fraction=0.5)
    truth = FrameTruth(joined_truth(PLACES, annotated(cell), cell.objects))
    poses = [PoseEstimate(name, T, 0.9) for name, T in zip(cell.names, cell.T_world_obj, strict=True)]
    evaluation = BinEvaluation(cell.objects, config)
    evaluation.add("all", truth, poses)
    counting = int((VISIBLE.max(axis=0) >= 0.5).sum())
    figures = evaluation.result()
    assert (figures.bins, figures.parts, figures.found, figures.precision) == (1, counting, counting, 1.0)
    away = poses[0].T_cam_obj.copy()
    away[:3, 3] += 0.1
    evaluation.add("one is wrong", truth, [replace(poses[0], T_cam_obj=away), *poses[1:]])
    figures = evaluation.result()
    assert (figures.bins, figures.parts, figures.found) == (2, 2 * counting, 2 * counting - 1)
    assert figures.precision is not None and figures.precision < 1.0
    assert f"{figures.found} of {figures.parts} parts" in figures.sentence


def test_what_is_stored_of_a_bin_is_read_again(cell: Bin, views, tmp_path) -> None:
    result = cell.estimate(views)
    outcomes = tuple(FrameOutcome(f"view{k}", 0, k) for k in range(3))
    named = tuple(replace(view, frame=replace(view.frame, name=f"view{k}")) for k, view in enumerate(views))
    kept, rejected = (tuple(p for p in result.poses if (p.score >= 0.5) is sure) for sure in (True, False))
    SceneDirectory(tmp_path).write(SceneOutcome("bin", named, outcomes, result, kept, rejected), b"")
    (stored,) = SceneDirectory(tmp_path).read()
    assert stored.name == "bin" and list(stored.T_world_cam) == ["view0", "view1", "view2"]
    expected = [p.T_world_obj for p in (*kept, *rejected)]
    np.testing.assert_allclose([p.T_cam_obj for p in stored.poses], expected, atol=1e-8)
    assert [p.score for p in stored.poses] == [p.score for p in (*kept, *rejected)]
    path = tmp_path / "scenes/bin/poses.json"
    content = json.loads(path.read_text())
    assert [view["unexplained"] for view in content["views"]] == [round(u, 4) for u in result.unexplained]
    content["poses"][0]["T_world_obj"] = [1, 2]
    path.write_text(json.dumps(content))
    with pytest.raises(BinposeError, match="T_world_obj"):
        SceneDirectory(tmp_path).read()
