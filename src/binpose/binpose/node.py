"""The node `bin_picking`: all stages in one process, one after the other on the same frame in memory.

It sends what the nodes `detection`, `pose_estimator` and `refinement` send, on the same topics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.objects import ObjectModel
from binpose_detection.backends import stored_segmenter
from binpose_detection.node import DetectionOutputs, why_nothing
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.node import PoseOutputs
from binpose_pipeline.pipeline import Pipeline
from binpose_refinement.node import (
    RefinementOutputs,
    RefinementSettings,
    check_objects,
    refiner_parameters,
    reported,
    result_frame_problem,
    why_unreported,
)
from binpose_refinement.stored_refiner import stored_refiner
from binpose_ros.challenge_adapter import ChallengeService, ChallengeSettings, names_of
from binpose_ros.estimate_action import EstimateAction, FrameResult
from binpose_ros.golden import GoldenFrame, found_share
from binpose_ros.inputs import COLOR, DEPTH, INFO, Match
from binpose_ros.outcome import Outcome
from binpose_ros.running import prepare_process, run_node
from binpose_ros.settings import DetectionChoice
from binpose_ros.stage_node import StageNode
from binpose_ros.stamps import Header

PREFIXES = DETECTION, POSE, REFINEMENT = "detection/", "pose_estimator/", "refinement/"


@dataclass(frozen=True)
class PipelineSettings(DetectionChoice, RefinementSettings):
    """What the node can be told.

    challenge: see `ChallengeSettings`.
    """

    challenge: ChallengeSettings = field(default_factory=ChallengeSettings)


class PipelineNode(StageNode[Pipeline]):
    """Sends the results of all stages of each frame."""

    inputs = (replace(COLOR, role="reference"), DEPTH, INFO)
    prefixes = PREFIXES

    def __init__(self, **options: Any) -> None:
        super().__init__("bin_picking", PipelineSettings(), **options)
        self._action = EstimateAction(self)
        ChallengeService(self)

    def build(self, stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Pipeline:
        """All stages of one model."""
        return Pipeline(
            stored_segmenter(stored, settings.device),
            PoseEstimator.from_stored(stored, objects, settings.device),
            stored_refiner(stored, objects, settings.refiner.named, settings.device),
        )

    def check(self, settings: Any, objects: Mapping[str, ObjectModel]) -> None:
        """The parts that are to be reported, or have a number in the challenge, must be known."""
        check_objects(settings, objects)
        if settings.challenge.object_ids:
            names_of(objects, settings.challenge.object_ids)

    def rebuild(self, before: Any, after: Any) -> bool:
        """Whether the refiner's own settings have changed."""
        return bool(before.refiner != after.refiner)

    def in_use(self, stage: Pipeline) -> Mapping[str, Any]:
        """The refiner's settings."""
        return refiner_parameters(stage.refiner)  # type: ignore[arg-type]  # built by `build`

    def open_outputs(self) -> None:
        """The topics of all stages."""
        self._detections = DetectionOutputs(self, DETECTION)
        self._poses = PoseOutputs(self, POSE)
        self._refined = RefinementOutputs(self, REFINEMENT)

    def frame_problem(self, frame_id: str) -> str:
        """Also whether the parts' transforms would form a loop."""
        return super().frame_problem(frame_id) or result_frame_problem(
            frame_id, self.models.find("").objects, self.settings
        )

    def process(self, match: Match) -> Outcome:
        """Detect, estimate, refine."""
        model, frame, settings = self.models.find(""), self.frame(match), self.settings
        stages = model.stage
        with self.monitor.measured("detection"):
            found = stages.segmenter(frame)
            detections = settings.chosen(found)
        with self.monitor.measured("pose"):
            poses = stages.estimator(frame, detections)
        with self.monitor.measured("refinement"):
            verified = stages.refiner(frame, detections, poses)

        def empty() -> Outcome:
            if detections:
                return why_unreported(frame, detections, verified, model.objects, settings)
            return why_nothing(frame, found, model.objects, settings)

        with self.monitor.measured("publish"):
            result = self._refined.publish(frame, verified, model, settings, empty)
            self._detections.publish(frame, detections, model.version)
            self._poses.publish(frame, poses, model.objects, model.version)
        self._action.put(result)
        return result.outcome

    def publish_nothing(self, header: Header, outcome: Outcome) -> None:
        """Empty results of all stages."""
        for outputs in (self._refined, self._detections, self._poses):
            outputs.publish_nothing(header)
        self._action.put(FrameResult(header, outcome))

    def warm_up(self, stage: Pipeline, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
        """Run all stages once."""
        stage(frame)

    def score(self, stage: Pipeline, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame]) -> float | None:
        """The share of visible parts whose pose is reported right."""

        def estimate(golden: GoldenFrame) -> list[tuple[str, Any]]:
            return [(p.object_id, p.T_cam_obj) for p in reported(stage(golden.frame), self.settings)]

        return found_share(frames, objects, estimate)


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(PipelineNode)


if __name__ == "__main__":
    main()
