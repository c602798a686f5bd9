"""A candidate is promoted only when it is better on unlabelled frames and loses on no part."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.evaluation.matching import FrameTruth, GroundTruth
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.anchors import AnchorFrame
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.gate import Gate
from binpose_self_training.gate.verdict import GateVerdict

from ...conftest import known_scene
from .known_poses import moved, reported

Found = Callable[[Any], Sequence[PoseEstimate]]
COUNT = 10


@dataclass(frozen=True)
class Source:
    """A frame in memory."""

    name: str
    frame: RgbdFrame
    scene_id: int = 0
    image_id: int = 0

    def read(self) -> RgbdFrame:
        return self.frame


@pytest.fixture(scope="module")
def bins(objects: tuple[ObjectModel, ...]) -> list[Any]:
    return [known_scene(objects, np.random.default_rng(100 + seed)) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def anchors(bins: list[Any]) -> list[AnchorFrame]:
    parts = [map(GroundTruth, scene.object_ids, scene.T_cam_obj) for scene in bins]
    return [AnchorFrame(f"anchor{i}", bins[i].frame, FrameTruth(list(known))) for i, known in enumerate(parts)]


@pytest.fixture
def decide(bundle: PipelineBundle, bins: list[Any], anchors: list[AnchorFrame]) -> Callable[..., GateVerdict]:
    """Compares what two models find in the bins."""
    champion, candidate = replace(bundle, version="a" * 64), replace(bundle, version="b" * 64)

    def call(old: Found, new: Found, *, times: tuple[float, float] = (0.1, 0.1), **options: Any) -> GateVerdict:
        def predict(model: PipelineBundle, name: str, frame: RgbdFrame) -> TimedResult:
            scene = next(scene for scene in bins if scene.frame is frame)
            number = int(model.version.startswith("b"))
            return TimedResult(list((old, new)[number](scene)), {"pose": times[number]}, [])

        sources = options.pop("frames", [Source(f"frame{i}", scene.frame) for i, scene in enumerate(bins)])
        gate = Gate(options.pop("config", GateConfig(early=False)), predict)
        return gate(champion, options.pop("candidate", candidate), sources, options.pop("anchors", anchors), **options)

    return call


def first_only(scene: Any) -> list[PoseEstimate]:
    return reported(scene)[:1]


def without_rods(scene: Any) -> list[PoseEstimate]:
    return [pose for pose in reported(scene) if pose.object_id != "rod"]


def nothing(scene: Any) -> list[PoseEstimate]:
    return []


def test_a_better_candidate_is_promoted(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(first_only, reported)
    assert verdict.promoted and verdict.decision == "promoted"
    assert (verdict.champion, verdict.candidate) == ("a" * 64, "b" * 64)
    assert len(verdict.curve) == COUNT and verdict.curve[-1].lower >= 0.0
    assert [part.object_id for part in verdict.parts] == ["rod", "step", "all"]
    assert verdict.parts[-1].gained == 2 * COUNT and verdict.parts[-1].lost == 0


def test_the_same_exchanged_is_refused(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(reported, first_only)
    assert verdict.decision == "refused"
    assert any("is worse on" in reason for reason in verdict.reasons)


def test_an_equal_candidate_is_not_promoted(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(reported, reported)
    assert verdict.decision == "undecided" and "do not prove" in verdict.reasons[0]


@pytest.mark.parametrize("old", [reported, first_only])
def test_an_empty_candidate_is_refused(decide: Callable[..., GateVerdict], old: Found) -> None:
    assert decide(old, nothing).decision == "refused"


def test_a_forgotten_part_is_refused_although_all_else_is_better(decide: Callable[..., GateVerdict]) -> None:
    def rods(scene: Any) -> list[PoseEstimate]:
        return [pose for pose in reported(scene) if pose.object_id == "rod"]

    verdict = decide(rods, without_rods)
    assert verdict.decision == "refused" and verdict.reasons[0].startswith("rod:")


def test_a_part_that_the_candidate_does_not_know_is_named(
    decide: Callable[..., GateVerdict], bundle: PipelineBundle
) -> None:
    candidate = replace(bundle, objects={"step": bundle.objects["step"]}, version="b" * 64)
    verdict = decide(first_only, reported, candidate=candidate)
    assert verdict.decision == "refused" and verdict.reasons == ("The candidate does not know rod.",)


def test_a_slow_candidate_is_refused(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(first_only, reported, times=(0.1, 0.2))
    assert verdict.decision == "refused" and "2.00 times as long" in verdict.reasons[0]
    assert decide(first_only, reported, times=(0.1, 0.11)).promoted


def test_scores_that_are_no_probabilities_are_refused(decide: Callable[..., GateVerdict]) -> None:
    def some_wrong(scene: Any, score: float) -> list[PoseEstimate]:
        wrong = replace(reported(scene)[2], T_cam_obj=moved(scene.T_cam_obj[2], (0.01, 0.0, 0.0)), score=score)
        return [*reported(scene, 0.9)[:2], wrong]

    verdict = decide(lambda scene: some_wrong(scene, 0.1), lambda scene: some_wrong(scene, 0.49))
    assert verdict.decision == "refused" and "worse probabilities" in verdict.reasons[0]


def test_without_labelled_frames_nothing_is_promoted(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(first_only, reported, anchors=[])
    assert verdict.decision == "undecided" and "no labelled frames" in verdict.reasons[0]


def test_without_unlabelled_frames_nothing_is_promoted(decide: Callable[..., GateVerdict]) -> None:
    verdict = decide(first_only, reported, frames=[])
    assert verdict.decision == "undecided" and "No unlabelled frame" in verdict.reasons[0]


def test_one_frame_a_thousand_times_is_one_piece_of_evidence(
    decide: Callable[..., GateVerdict], bins: list[Any]
) -> None:
    verdict = decide(first_only, reported, frames=[Source(f"copy{i}", bins[0].frame) for i in range(1000)])
    assert len(verdict.curve) == 1 and verdict.decision == "undecided" and len(verdict.notes) == 999


def test_a_damaged_frame_is_left_out_with_its_reason(decide: Callable[..., GateVerdict], bins: list[Any]) -> None:
    class Damaged(Source):
        def read(self) -> RgbdFrame:
            raise BinposeError("The file is cut off.")

    sources = [Damaged("bad", bins[0].frame), *(Source(f"frame{i}", scene.frame) for i, scene in enumerate(bins))]
    verdict = decide(first_only, reported, frames=sources)
    assert verdict.promoted and verdict.notes == ("Frame bad was left out: The file is cut off.",)


def test_recorded_picks_can_refuse_but_not_promote(decide: Callable[..., GateVerdict], bins: list[Any]) -> None:
    picks = {f"frame{i}": [PickOutcome(s.object_ids[0], s.T_cam_obj[0], True)] for i, s in enumerate(bins)}
    assert decide(reported, reported, outcomes=picks).decision == "undecided"
    verdict = decide(first_only, lambda scene: reported(scene)[1:], outcomes=picks)
    assert verdict.decision == "refused" and any("recorded picks" in reason for reason in verdict.reasons)


def test_the_same_input_gives_the_same_verdict(decide: Callable[..., GateVerdict]) -> None:
    one, other = (replace(decide(first_only, reported), seconds=0.0) for _ in range(2))
    assert one == other


def test_a_verdict_survives_json(decide: Callable[..., GateVerdict]) -> None:
    picks = {"frame0": []}
    for verdict in (decide(first_only, reported, outcomes=picks), decide(reported, reported, anchors=[])):
        assert GateVerdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


@pytest.mark.parametrize("content", [{}, {"decision": "maybe"}, {"decision": "promoted", "reasons": 3}])
def test_other_json_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(BinposeError, match="no verdict of the gate"):
        GateVerdict.from_json(content)
