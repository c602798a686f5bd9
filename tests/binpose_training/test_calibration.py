"""What the scale of the scores is fitted on."""

import numpy as np

from binpose_core.evaluation.matching import FrameEvaluation, MatchedEstimate, Verdict
from binpose_core.frames.types import PoseEstimate
from binpose_refinement.calibration import log_odds
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_training.calibration import selected_samples


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
