"""The node `pose_estimator`: images and detections in, poses with hypotheses out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from binpose_core.base.reasons import Reason
from binpose_core.evaluation.golden import Found, GoldenFrame, found_share, true_detections
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.drawn_scene import drawn_scene
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.onnx_engine import TORCH, check_engine
from binpose_ros.detections import read_detections
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.frames import header_of
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Match, read
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.model_follower import ModelFollower
from binpose_ros.model_holder import ModelHolder
from binpose_ros.monitor import Monitor
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome, empty_outcome
from binpose_ros.parameters import Parameters
from binpose_ros.poses import write_poses
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header
from binpose_ros.upstream_status import UpstreamStatus
from binpose_ros.vision_arrays import array_length, write_array

DETECTIONS = Input("detection/detections", "Detection2DArray", "reference", camera=False)
MASK = Input("detection/instance_mask", "Image", "same", camera=False)
INPUTS = (DETECTIONS, MASK, COLOR, DEPTH, INFO)
NOTHING = Outcome(Reason.NO_PARTS, "There was no detection to estimate a pose of.")


@dataclass(frozen=True)
class PoseSettings(StageSettings):
    """Parameters of the node.

    engine: what runs the pose network: torch, or on the CPU onnxruntime (pip install binpose[onnx]).
    """

    engine: str = TORCH

    def __post_init__(self) -> None:
        super().__post_init__()
        check_engine(self.engine, self.device)


class PoseOutputs:
    """The topic of poses below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._poses = node.output("Detection3DArray", f"{prefix}poses")

    def publish(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], version: str
    ) -> None:
        """Publish a frame's poses, where there is a subscriber."""
        if self._poses.get_subscription_count():
            self._poses.publish(write_poses(poses, objects, header_of(frame), version))

    def publish_empty(self, header: Header) -> None:
        """Publish that nothing was found."""
        self._poses.publish(write_array(header, ()))


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> PoseEstimator:
    """The estimator of a model."""
    return PoseEstimator.from_stored(stored, objects, settings.device, settings.engine)


def warm_up(estimator: PoseEstimator, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Estimate the poses of a drawing."""
    scene = drawn_scene(objects)
    estimator(scene.frame, scene.detections)


def score(
    estimator: PoseEstimator, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame], settings: Any
) -> float | None:
    """The fraction of visible parts with a right hypothesis where the detections are without errors."""
    detections = {golden: true_detections(golden, objects) for golden in frames}

    def estimate(golden: GoldenFrame) -> Found:
        return [(h.object_id, h.T_cam_obj) for p in estimator(golden.frame, detections[golden]) for h in p.hypotheses]

    return found_share([golden for golden in frames if detections[golden]], objects, estimate)


class PoseEstimatorNode(ManagedNode):
    """Publishes `~/poses` of each frame's detections."""

    def __init__(self, **options: Any) -> None:
        super().__init__("pose_estimator", **options)
        self.monitor = Monitor()
        self.parameters = Parameters(self, PoseSettings())
        self.models = ModelHolder(self, StageModel(build, warm_up, score))
        self.model_source = ModelFollower(self, self.models)
        self.upstream = UpstreamStatus(self, "detection/status")
        self.results = Results(self, lambda: PoseOutputs(self, "~/"))
        self.frames = FrameWorker(self, INPUTS, self.models, self.results, self.process, self.publish_empty)
        self.diagnostics = stage_diagnostics(self)
        self.parts = (self.model_source, self.results, self.frames)

    def process(self, match: Match) -> Outcome:
        """Estimate poses, with the model that the detections were made with."""
        data = match[DETECTIONS.topic]
        if not array_length(data):
            return self.upstream.pass_on(serialized_header(data), NOTHING, self.publish_empty)
        frame = self.frames.read(match)
        detections, version = read_detections(data, read(match, MASK, self.types), frame.camera)
        model = self.models.find(version)
        with self.monitor.measured("pose"):
            poses = model.stage(frame, detections)
        with self.monitor.measured("publish"):
            self.results.outputs.publish(frame, poses, model.objects, model.version)
        outcome = Outcome() if poses else empty_outcome(why_empty(frame, detections, (), model.objects, 0.0))
        return replace(outcome, found=len(detections), reported=len(poses), version=model.version)

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish no poses."""
        self.results.outputs.publish_empty(header)


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(PoseEstimatorNode)


if __name__ == "__main__":
    main()
