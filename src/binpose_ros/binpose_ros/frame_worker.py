"""The frames of a node: put together from its inputs, and processed one after the other, the newest first."""

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import SHORT
from binpose_ros.frames import to_frame
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Inputs, Match, read
from binpose_ros.lifecycle import LifecyclePart
from binpose_ros.mailbox import Mailbox
from binpose_ros.model_holder import ModelHolder
from binpose_ros.node_checks import frame_id_problem
from binpose_ros.outcome import Outcome
from binpose_ros.problems import Problem
from binpose_ros.results import Results
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import Header

TYPES_S = 1.0  # how often the types of the inputs' publishers are checked


class FrameWorker(LifecyclePart):
    """Subscribes to a node's inputs while it is active, and processes the newest complete frame.

    Callbacks of subscriptions only sort serialized messages; one worker thread reads and processes frames. So nothing
    piles up when frames come faster than they are processed, and services respond meanwhile.

    Args:
        node: with `parameters` (a `StageSettings`) and `monitor`.
        inputs: topics, one of them the reference.
        models: of the node.
        results: where the status of each frame is published.
        process: processes a frame and publishes its results; returns what became of it.
        publish_empty: publishes empty results of a frame that could not be processed, and why.
        check_frame_id: gives what is wrong with the frame id of the images, empty for nothing.
    """

    def __init__(
        self,
        node: Any,
        inputs: Sequence[Input],
        models: ModelHolder[Any],
        results: Results[Any],
        process: Callable[[Match], Outcome],
        publish_empty: Callable[[Header, Outcome], None],
        check_frame_id: Callable[[str], str] = frame_id_problem,
    ) -> None:
        self._node, self._models, self._results = node, models, results
        self._process, self._publish_empty, self.check_frame_id = process, publish_empty, check_frame_id
        self._topics = tuple(inputs)
        self._reference = next(entry for entry in inputs if entry.role == "reference")
        self.inputs: Inputs | None = None
        self._changing = threading.Lock()  # of the inputs
        self._box: Mailbox[Match] | None = None
        self._worker: threading.Thread | None = None
        self._logged = ""
        node.parameters.on_change.append(self._apply)
        node.create_steady_timer(TYPES_S, self.follow_types, MutuallyExclusiveCallbackGroup())

    def activate(self) -> None:
        """Start the worker and subscribe."""
        node = self._node
        self._box = Mailbox(node.monitor.counts)
        self._worker = threading.Thread(target=self._work, args=(self._box,), name="worker", daemon=True)
        self._worker.start()
        with self._changing:
            self.inputs = Inputs(node, self._topics, node.settings, self._box, node.monitor, node.types)
        node.get_logger().info(f"Active, with model {self._models.find().version[:SHORT]}.")

    def deactivate(self) -> None:
        """Unsubscribe, and wait until the current frame is processed."""
        with self._changing:
            inputs, self.inputs = self.inputs, None
        if inputs is not None:
            inputs.close()
        if self._box is not None:
            self._box.close()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join()
        self._box = self._worker = None

    def read(self, match: Match) -> RgbdFrame:
        """The RGB-D frame of a match.

        Raises:
            BinposeError: when its messages cannot be used.
        """
        node = self._node
        with node.monitor.measured("convert"):
            color, depth = read(match, COLOR, node.types), read(match, DEPTH, node.types)
            frame = to_frame(color, depth, read(match, INFO, node.types), node.settings.rectified)
        node.monitor.note(Reason.BAD_FRAME_ID, self.check_frame_id(frame.frame_id))
        node.monitor.note(Reason.ODD_INPUT, *frame.notes)
        self._models.last_frame = frame
        return frame

    def follow_types(self) -> None:
        """Subscribe to images as they are published: raw, or compressed."""
        with self._changing:
            if self.inputs is not None and self._node.context.ok():
                self.inputs.follow_types()

    def problems(self) -> list[Problem]:
        """What is wrong with the inputs, the last frames and the model."""
        with self._changing:
            found = [] if self.inputs is None else self.inputs.problems()
        return found + (self._node.monitor.problems() if self._node.state == "active" else [])

    def _apply(self, settings: StageSettings) -> None:
        if self.inputs is not None:
            self.inputs.set_slop(settings.slop_s)

    # --- In the worker's thread ---------------------------------------------------------------------------------------

    def _work(self, box: Mailbox[Match]) -> None:
        while (match := box.take()) is not None:
            header = serialized_header(match[self._reference.topic])
            with self._node.monitor.frame(header.stamp_ns, self._node.get_clock().now().nanoseconds):
                self._work_on(match, header)

    def _work_on(self, match: Match, header: Header) -> None:
        try:
            outcome = self._process(match)
            self.finish(outcome)
            self._results.publish_status(outcome, header)
        except Exception as error:
            if not self._node.context.ok():  # The process ends.
                return
            reason = error.reason if isinstance(error, BinposeError) else Reason.INTERNAL_ERROR
            outcome = Outcome(reason, self._node.describe_error("The frame", error))
            self.finish(outcome)
            self._publish_failure(outcome, header)

    def finish(self, outcome: Outcome) -> None:
        """Log a reason once, not with every frame; figures in the sentence of a processed frame change with each."""
        key = outcome.message if outcome.is_failure else outcome.reason.code
        if outcome.message and key != self._logged:
            self._node.get_logger().warning(outcome.message)
        self._logged = key
        self._node.monitor.finished(outcome)

    def _publish_failure(self, outcome: Outcome, header: Header) -> None:
        """The status first: a stage that receives the empty array then knows that the bin may be full."""
        try:
            self._results.publish_status(outcome, header)
            self._publish_empty(header, outcome)
        except Exception:
            self._node.get_logger().error(traceback.format_exc())
