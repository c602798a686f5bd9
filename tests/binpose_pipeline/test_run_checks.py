"""What a run states about its own poses, without labels."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from binpose import cli
from binpose.commands import estimate
from binpose.run_report import draw_checked
from binpose_core.base.reasons import Reason
from binpose_core.drawing.outlines import DrawingConfig
from binpose_core.drawing.overlays import ALERT, OverlayDrawer
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.parts.empty_results import EmptyReason
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.depth_check import check_depth
from binpose_pipeline.run_checks import agreement_sentence, empty_sentences, notes_of, warnings
from binpose_pipeline.runs import FrameOutcome


def pose(agreement: float | None = None, score: float = 0.7, object_id: str = "step", **more: float) -> PoseEstimate:
    residuals = more if agreement is None else {"depth_agreement": agreement, **more}
    return PoseEstimate(object_id, np.eye(4), score, residuals=residuals)


def outcome(*poses: PoseEstimate, name: str = "a") -> FrameOutcome:
    return FrameOutcome(name, 0, 0, poses)


def test_poses_are_counted_by_their_agreement() -> None:
    check = check_depth([pose(0.8), pose(0.79, 0.95), pose(0.1, 0.6), pose(None), pose(1.0, out_of_distribution=1.0)])
    assert (check.reported, check.agree, check.contradicted, check.contradicted_sure) == (5, 2, 2, 1)
    assert check.out_of_distribution == 1 and check.checked == 4
    assert agreement_sentence(check) == "2 of 5 reported poses agree with the depth (1 could not be checked)."
    assert agreement_sentence(check_depth([pose()])) == ""


@pytest.mark.parametrize(("agree", "contradicted", "warned"), [(8, 2, False), (7, 3, True), (2, 7, False)])
def test_a_low_fraction_of_enough_poses_is_warned_about(agree: int, contradicted: int, warned: bool) -> None:
    found = warnings([outcome(*[pose(1.0)] * agree, *[pose(0.2, 0.95)] * contradicted)])
    assert bool(found) == warned
    if warned:
        assert "Only 7 of 10 poses" in found[0] and "3 of them with a score of 0.9" in found[0]
        assert "--threshold does not" in found[0]


def test_the_threshold_that_separates_contradicted_poses_is_advised() -> None:
    (found,) = warnings([outcome(*[pose(1.0, 0.85)] * 9, *[pose(0.2, 0.65)] * 5)])
    assert "With --threshold 0.7, 9 of 9 poses agree." in found


def test_one_kind_of_part_that_disagrees_is_warned_about_alone() -> None:
    others = [pose(1.0, object_id="rod")] * 90
    (found,) = warnings([outcome(*others, *[pose(0.1)] * 10)])
    assert "0 of 10 poses of step" in found and "rod" not in found


def test_poses_unlike_the_samples_of_the_score_are_warned_about() -> None:
    (found,) = warnings([outcome(pose(1.0, out_of_distribution=1.0), pose(1.0, out_of_distribution=0.0))])
    assert found.startswith("1 of 2 reported poses are unlike")


def test_each_kind_of_empty_frame_and_each_note_is_stated_once() -> None:
    frames = [
        replace(outcome(name="a"), reason=EmptyReason(Reason.NO_PARTS, "No part was detected."), notes=("odd",)),
        replace(outcome(name="b"), reason=EmptyReason(Reason.NO_PARTS, "No part was detected."), notes=("odd", "new")),
        replace(outcome(name="c"), reason=EmptyReason(Reason.LITTLE_DEPTH, "Only 2% have depth."), notes=("odd",)),
    ]
    assert empty_sentences(frames) == [
        "2 of 3 frames without a part, for example a: No part was detected.",
        "1 of 3 frames without a part, c: Only 2% have depth.",
    ]
    assert notes_of(frames, ["left out"]) == ["left out", "odd", "new (1 frame)"]


def test_contradicted_poses_are_drawn_in_red_and_named(objects: Sequence, scenes: Sequence) -> None:
    scene = scenes[0]
    drawer = OverlayDrawer({part.id: part for part in objects}, DrawingConfig(labels=False))
    poses = [
        PoseEstimate(name, T, 0.9, residuals={"depth_agreement": float(n > 0)})
        for n, (name, T) in enumerate(zip(scene.object_ids, scene.T_cam_obj, strict=True))
    ]

    def red(number: int) -> int:
        inside = scene.instance_ids == number
        return int((np.abs(draw_checked(drawer, scene.frame, poses)[inside].astype(int) - ALERT).max(-1) < 40).sum())

    assert red(0) > 20 and red(1) == red(2) == 0


class Checking:
    """A refiner that gives poses the agreements in turn."""

    calibration = None

    def __init__(self, agreements: Sequence[float]) -> None:
        self.agreements = agreements

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        pairs = zip(poses, self.agreements, strict=True)
        return [replace(pose, score=0.95, residuals={"depth_agreement": value}) for pose, value in pairs]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, bundle: PipelineBundle, dataset: Path, tmp_path: Path) -> Callable[..., Path]:
    def call(agreements: Sequence[float], *options: str) -> Path:
        checked = bundle.using(refiner=Checking(agreements))
        monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: checked)
        assert cli.main(["estimate", str(dataset), "--model", "m", "--out", str(tmp_path / "run"), *options]) == 0
        return tmp_path / "run"

    return call


def test_the_summary_the_record_and_the_report_agree(
    run: Callable[..., Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    root = run([1.0, 0.5, 0.9])
    printed = capsys.readouterr().out
    assert "6 of 9 reported poses agree with the depth." in printed
    record = json.loads((root / "run.json").read_text())
    assert record["depth_check"]["agree"] == 6 and record["depth_check"]["contradicted_sure"] == 3
    frame = record["frames"]["000000_000000"]
    assert frame["depth_check"]["contradicted"] == 1 and "reason" not in frame
    page = (root / "report.html").read_text()
    assert page.index("6 of 9 reported poses agree") < page.index("<h2>")
    assert page.count("3 parts, 1 contradicted by the depth") == 3 * 3  # caption and two descriptions of pictures


def test_an_empty_frame_has_its_reason_everywhere(run: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    root = run([1.0, 0.5, 0.9], "--threshold", "0.96")
    sentence = "The best score, of 3 poses, is 0.95 of step (100% of its visible surface agree with the depth)"
    assert sentence in " ".join(capsys.readouterr().out.split())
    record = json.loads((root / "run.json").read_text())
    poses = json.loads((root / "frames" / "000000_000000" / "poses.json").read_text())
    for entry in (record["frames"]["000000_000000"], poses):
        assert entry["reason"]["code"] == "BELOW_THRESHOLD" and sentence in entry["reason"]["sentence"]
    assert "3 frames of 3 without a part" in (root / "report.html").read_text()


def test_an_evaluation_checks_the_poses_of_any_results_file(
    run: Callable[..., Path], dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    root = run([0.0, 0.0, 0.0])  # as from a program that did not check
    assert cli.main(["evaluate", str(root), "--dataset", str(dataset)]) == 0
    assert "9 of 9 reported poses agree with the depth." in capsys.readouterr().out
    content = json.loads((root / "evaluation.json").read_text())
    assert content["depth_check"]["agree"] == 9
    assert {row["object_id"]: row["agree"] for row in content["objects"]} == {"rod": 3, "step": 6, "all": 9}
    assert "depth agrees" in (root / "evaluation.html").read_text()
