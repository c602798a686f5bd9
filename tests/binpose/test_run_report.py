"""The report and poses.json state what the image leaves open and what no pose explains."""

from dataclasses import replace

import numpy as np
import pytest

from binpose.run_report import RunGallery, run_report
from binpose_core.drawing.overlays import OverlayDrawer
from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_pipeline.runs import FrameOutcome, RunRecord, alternatives, pose_to_json

RECORD = RunRecord("frames/", None, "demo", "0" * 64, {"step": 1}, 0.5)


def turned(angle: float) -> np.ndarray:
    T = np.eye(4)
    c, s = np.cos(angle), np.sin(angle)
    T[:2, :2] = [[c, -s], [s, c]]
    T[2, 3] = 0.5
    return T


@pytest.fixture
def ambiguous() -> PoseEstimate:
    probabilities = (0.55, 0.35, 0.04)
    hypotheses = tuple(Hypothesis("step", turned(i), p) for i, p in enumerate(probabilities))
    return PoseEstimate("step", turned(0), 0.55, hypotheses=hypotheses)


def test_other_probable_poses_are_listed_with_their_probabilities(ambiguous: PoseEstimate) -> None:
    assert [h.score for h in alternatives(ambiguous)] == [0.35]
    (listed,) = pose_to_json(ambiguous)["alternatives"]
    assert (listed["object_id"], listed["probability"]) == ("step", 0.35)
    np.testing.assert_allclose(listed["T_cam_obj"], turned(1), atol=1e-9)
    assert pose_to_json(replace(ambiguous, hypotheses=ambiguous.hypotheses[:1]))["alternatives"] == []


def test_the_report_shows_ambiguous_parts_and_the_unexplained_fraction(ambiguous: PoseEstimate, objects) -> None:
    gallery = RunGallery(OverlayDrawer({model.id: model for model in objects}))
    known = FrameOutcome("000000_000000", 0, 0, (ambiguous,), unexplained=0.25)
    page = run_report(RECORD, [known], gallery)
    assert "1 part with more than one probable pose" in page and "step 0.35" in page
    assert "25% of the bin&#x27;s content (median)" in page or "25% of the bin's content (median)" in page
    sure = replace(known, poses=(replace(ambiguous, hypotheses=()),), unexplained=float("nan"))
    page = run_report(RECORD, [sure], gallery)
    assert "probable pose" not in page and "% of the bin" not in page
