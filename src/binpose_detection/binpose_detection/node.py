"""The node `detection`: images in, instances out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from binpose_core.base.reasons import Reason
from binpose_core.base.settings import setting
from binpose_core.evaluation.golden import GoldenFrame, seen_share
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_core.stages import Segmenter
from binpose_detection.backends import stored_segmenter
from binpose_ros.detections import instance_labels, write_detections
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.frames import header_of
from binpose_ros.images import from_labels
from binpose_ros.inputs import COLOR, DEPTH, INFO, Match
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.model_followers import ModelFollowers
from binpose_ros.model_holder import ModelHolder
from binpose_ros.model_leader import ModelLeader
from binpose_ros.monitor import Monitor
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome, empty_outcome
from binpose_ros.parameters import Parameters
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.settings import DetectionChoice
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header
from binpose_ros.vision_arrays import write_array

INPUTS = (replace(COLOR, role="reference"), DEPTH, INFO)


@dataclass(frozen=True)
class DetectionSettings(DetectionChoice):
    """Parameters of the node.

    followers: nodes that work on the detections; they must hold a new model before this node uses it.
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
        """Publish a frame's detections and the image of their instances, where there is a subscriber."""
        if not (self._detections.get_subscription_count() or self._mask.get_subscription_count()):
            return
        header = header_of(frame)
        self._mask.publish(from_labels(instance_labels(detections, frame.camera), header, self._types))
        self._detections.publish(write_detections(detections, frame.camera, header, version))

    def publish_empty(self, header: Header) -> None:
        """Publish that nothing was found."""
        self._mask.publish(from_labels(np.zeros((1, 1), np.uint16), header, self._types))
        self._detections.publish(write_array(header, ()))


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Segmenter:
    """The segmenter of a model."""
    return stored_segmenter(stored, settings.device)


def warm_up(segmenter: Segmenter, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Detect once."""
    segmenter(frame)


def score(
    segmenter: Segmenter, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame], settings: Any
) -> float | None:
    """The fraction of visible parts that are detected."""
    return seen_share(frames, objects, segmenter)


class DetectionNode(ManagedNode):
    """Publishes `~/detections` and `~/instance_mask` of each frame."""

    def __init__(self, **options: Any) -> None:
        super().__init__("detection", **options)
        self.monitor = Monitor()
        self.parameters = Parameters(self, DetectionSettings())
        self.models = ModelHolder(self, StageModel(build, warm_up, score))
        self.model_source = ModelLeader(self, self.models, ModelFollowers(self, self.settings.followers))
        self.results = Results(self, lambda: DetectionOutputs(self, "~/"))
        self.frames = FrameWorker(self, INPUTS, self.models, self.results, self.process, self.publish_empty)
        self.diagnostics = stage_diagnostics(self)
        self.parts = (self.model_source, self.results, self.frames)

    def process(self, match: Match) -> Outcome:
        """Detect the parts in a frame."""
        model, frame, settings = self.models.find(), self.frames.read(match), self.settings
        with self.monitor.measured("detection"):
            found = model.stage(frame)
            detections = settings.chosen(found)
        with self.monitor.measured("publish"):
            self.results.outputs.publish(frame, detections, model.version)
        outcome = Outcome() if detections else why_nothing(frame, found, model.objects, settings)
        return replace(outcome, found=len(found), reported=len(detections), version=model.version)

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish empty detections."""
        self.results.outputs.publish_empty(header)


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
