"""What the scale of the scores is fitted on."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from binpose_core.evaluation.matching import FrameEvaluation, MatchedEstimate, Verdict
from binpose_core.frames.types import PoseEstimate
from binpose_refinement.calibration import log_odds
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_training import calibration
from binpose_training.calibration import SCALING, selected_samples


def judged(scores: list[float], verdicts: list[Verdict]) -> tuple[FrameEvaluation, list[PoseEstimate]]:
    estimates = tuple(MatchedEstimate("a", s, v, -1, 0.0) for s, v in zip(scores, verdicts, strict=True))
    residuals = dict.fromkeys(SCENE_EVIDENCE, 0.5)
    poses = [PoseEstimate("a", np.eye(4), score, residuals=residuals) for score in scores]
    return FrameEvaluation("f", estimates, (), None), poses


def test_poses_that_were_not_selected_or_not_judged_are_no_samples() -> None:
    verdicts = [Verdict.RIGHT, Verdict.WRONG, Verdict.RIGHT, Verdict.UNKNOWN, Verdict.IGNORED]
    frame, poses = judged([0.9, 0.4, 0.0, 0.8, 0.7], verdicts)
    scores, scene, right = selected_samples([frame], [poses])
    assert scores.tolist() == [0.9, 0.4] and right.tolist() == [True, False]
    assert scene.shape == (2, len(SCENE_EVIDENCE)) and (scene == 0.5).all()
    assert (np.abs(log_odds(scores)) < 5).all()


def test_without_frames_there_are_no_samples() -> None:
    scores, scene, right = selected_samples([], [])
    assert scores.shape == right.shape == (0,) and scene.shape == (0, len(SCENE_EVIDENCE))


def test_each_round_of_the_scale_runs_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline runs on a view when the track gives it, and what there was no time for is not judged."""
    seen, judged_frames = list[str](), list[int]()
    given = {SCALING[0]: 5, SCALING[1]: 3}

    def track(items: Sequence[int], stage: str) -> Iterator[int]:
        for item in items[: given[stage]]:
            seen.append(stage)
            yield item

    def judge(views: Sequence[object], found: Sequence[object], *_: object) -> list[FrameEvaluation]:
        assert len(views) == len(found)
        judged_frames.append(len(found))
        return [FrameEvaluation("f", (), (), None)] * len(found)

    def ran(frame: object) -> list[PoseEstimate]:
        seen.append("ran")
        return []

    known = SimpleNamespace(features=None, weight=None, part=None, correct=np.arange(100) % 2 == 0)
    fitted: Any = SimpleNamespace(scaled=lambda *_: fitted)
    monkeypatch.setattr(calibration, "labelled_candidates", lambda *_: known)
    monkeypatch.setattr(calibration, "fit_calibration", lambda *_: fitted)
    monkeypatch.setattr(calibration, "Pipeline", lambda *_: ran)
    monkeypatch.setattr(calibration, "evaluate_views", judge)
    refiner: Any = SimpleNamespace(using=lambda **_: refiner)
    stage: Any = None
    views: Any = [SimpleNamespace(frame=None)] * 5
    calibration.calibrated_refiner(stage, stage, refiner, {}, [], views, 0, track)
    assert judged_frames == [5, 3]
    assert calibration.calibration_steps(100) == 100 + calibration.scaling_views(100)
    assert seen == [SCALING[0], "ran"] * 5 + [SCALING[1], "ran"] * 3
