"""The node `detection`: images in, instances out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from binpose_core.base.reasons import Reason
from binpose_core.base.settings import setting
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_detection.backends import stored_segmenter
from binpose_ros.detections import instance_labels, write_detections
from binpose_ros.following import Followers
from binpose_ros.frames import header_of
from binpose_ros.golden import GoldenFrame, seen_share
from binpose_ros.images import from_labels
from binpose_ros.inputs import COLOR, DEPTH, INFO, Match
from binpose_ros.models import LoadedModel
from binpose_ros.outcome import Outcome, empty_outcome
from binpose_ros.running import prepare_process, run_node
from binpose_ros.settings import DetectionChoice
from binpose_ros.stage_node import StageNode
from binpose_ros.stamps import Header
from binpose_ros.vision_arrays import write_array


@dataclass(frozen=True)
class DetectionSettings(DetectionChoice):
    """What the node can be told.

    followers: nodes that work on the detections and must hold a new model before this node uses it.
    follow_s: how long the followers may take to hold a new model, in seconds.
    """

    followers: tuple[str, ...] = ()
    follow_s: float = setting(30.0, bounds=(0.0, 3600.0), live=True)


class DetectionOutputs:
    """The topics of detections below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._types = node.types
        self._detections = node.output("Detection2DArray", f"{prefix}detections")
        self._mask = node.output("Image", f"{prefix}instance_mask")

    def publish(self, frame: RgbdFrame, detections: Sequence[Detection], version: str) -> None:
        """Send a frame's detections and the image of their instances, where someone listens."""
        if not (self._detections.get_subscription_count() or self._mask.get_subscription_count()):
            return
        header = header_of(frame)
        self._mask.publish(from_labels(instance_labels(detections, frame.camera), header, self._types))
        self._detections.publish(write_detections(detections, frame.camera, header, version))

    def publish_nothing(self, header: Header) -> None:
        """Send that nothing was found."""
        self._mask.publish(from_labels(np.zeros((1, 1), np.uint16), header, self._types))
        self._detections.publish(write_array(header, ()))


class DetectionNode(StageNode[Any]):
    """Sends `~/detections` and `~/instance_mask` of each frame."""

    inputs = (replace(COLOR, role="reference"), DEPTH, INFO)

    def __init__(self, **options: Any) -> None:
        super().__init__("detection", DetectionSettings(), **options)
        self._followers = Followers(self, self.settings.followers)

    def build(self, stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Any:
        """The segmenter."""
        return stored_segmenter(stored, settings.device)

    def before_swap(self, model: LoadedModel[Any]) -> None:
        """Have the nodes that work on the detections hold it."""
        self._followers.hold(model, self.settings.follow_s)

    def open_outputs(self) -> None:
        """The two topics."""
        self._outputs = DetectionOutputs(self, "~/")

    def process(self, match: Match) -> Outcome:
        """Detect."""
        model, frame, settings = self.models.find(""), self.frame(match), self.settings
        with self.monitor.measured("detection"):
            found = model.stage(frame)
            detections = settings.chosen(found)
        with self.monitor.measured("publish"):
            self._outputs.publish(frame, detections, model.version)
        number = len(detections)
        outcome = Outcome() if number else why_nothing(frame, found, model.objects, settings)
        return replace(outcome, found=len(found), reported=number, version=model.version)

    def publish_nothing(self, header: Header, outcome: Outcome) -> None:
        """Empty detections."""
        self._outputs.publish_nothing(header)

    def warm_up(self, stage: Any, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
        """Detect once."""
        stage(frame)

    def score(self, stage: Any, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame]) -> float | None:
        """The share of visible parts that are detected."""
        return seen_share(frames, objects, stage)


def why_nothing(
    frame: RgbdFrame, found: Sequence[Detection], objects: Mapping[str, ObjectModel], settings: DetectionChoice
) -> Outcome:
    """Why no detection of a frame is followed up.

    Args:
        frame: what the camera saw.
        found: all detections in it.
        objects: the known parts by id.
        settings: which detections are followed up.
    """
    if not found:
        return empty_outcome(why_empty(frame, (), (), objects, settings.min_score))
    where = "lies in the region with" if settings.region else "has"
    return Outcome(
        Reason.NO_PARTS,
        f"None of {len(found)} detections {where} a score of at least {settings.min_score:g}; change region or "
        "min_score to follow them up.",
    )


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(DetectionNode)


if __name__ == "__main__":
    main()
