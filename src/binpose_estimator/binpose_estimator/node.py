"""The node `pose_estimator`: images and detections in, poses with hypotheses out."""

from collections.abc import Mapping, Sequence
from typing import Any

from binpose_core.frames import RgbdFrame
from binpose_core.model_store import StoredModel
from binpose_core.objects import ObjectModel
from binpose_core.types import PoseEstimate
from binpose_estimator.estimator import PoseEstimator
from binpose_ros.detections import split_id, to_detections
from binpose_ros.frames import header_of
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Match, read
from binpose_ros.poses import from_poses
from binpose_ros.running import prepare_process, run_node
from binpose_ros.settings import StageSettings
from binpose_ros.stage_node import StageNode
from binpose_ros.stamps import Header, from_header, to_header
from binpose_ros.trial import trial_detection

DETECTIONS = Input("detection/detections", "Detection2DArray", "reference", camera=False)
MASK = Input("detection/instance_mask", "Image", "same", camera=False)
NOTHING = "There was no detection to estimate a pose of."


class PoseOutputs:
    """The topic of poses below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._types = node.types
        self._poses = node.output("Detection3DArray", f"{prefix}poses")

    def publish(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], version: str
    ) -> None:
        """Send a frame's poses, where someone listens."""
        if self._poses.get_subscription_count():
            self._poses.publish(from_poses(poses, objects, header_of(frame), version, self._types))

    def publish_nothing(self, header: Header) -> None:
        """Send that nothing was found."""
        self._poses.publish(self._types.Detection3DArray(header=to_header(header, self._types), detections=[]))


class PoseEstimatorNode(StageNode[PoseEstimator]):
    """Sends `~/poses` of each frame's detections."""

    inputs = (DETECTIONS, MASK, COLOR, DEPTH, INFO)

    def __init__(self, **options: Any) -> None:
        super().__init__("pose_estimator", StageSettings(), **options)

    def build(self, stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> PoseEstimator:
        """The estimator."""
        return PoseEstimator.from_stored(stored, objects, settings.device)

    def open_outputs(self) -> None:
        """The topic."""
        self._outputs = PoseOutputs(self, "~/")

    def process(self, match: Match) -> str:
        """Estimate, with the model that the detections were made with."""
        array = read(match, DETECTIONS, self.types)
        if not array.detections:
            self.publish_nothing(match, from_header(array))
            return NOTHING
        model = self.models.find(split_id(array.detections[0].id)[0])
        frame = self.frame(match)
        detections, _ = to_detections(array, read(match, MASK, self.types), frame.camera)
        with self.monitor.measured("pose"):
            poses = model.stage(frame, detections)
        with self.monitor.measured("publish"):
            self._outputs.publish(frame, poses, model.objects, model.version)
        return ""

    def publish_nothing(self, match: Match, header: Header) -> None:
        """No poses."""
        self._outputs.publish_nothing(header)

    def try_out(self, stage: PoseEstimator, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
        """Run the network once."""
        stage(frame, [trial_detection(frame, next(iter(objects)))])


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(PoseEstimatorNode)


if __name__ == "__main__":
    main()
