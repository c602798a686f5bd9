"""The lifecycle node that every stage of perception is: convert in, call the library, convert out."""

import threading
import traceback
from abc import abstractmethod
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import SHORT
from binpose_ros.frames import to_frame
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Inputs, Match, read
from binpose_ros.joining import Mailbox
from binpose_ros.lifecycle import guarded
from binpose_ros.model_node import ModelNode, Stage
from binpose_ros.monitor import diagnostics_of
from binpose_ros.node_remarks import ClockWatch, duplicate_node, frame_id_problem
from binpose_ros.outcome import Outcome, from_outcome
from binpose_ros.remarks import Remark, RemarkLog, by_importance
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import Header
from binpose_ros.transforms import Transforms

DIAGNOSTICS_S = 1.0
STATUS = QoSProfile(depth=10, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class StageNode(ModelNode[Stage]):
    """Puts messages together to frames and works on the newest one.

    Callbacks of subscriptions only sort serialized messages; one worker thread reads and processes the newest complete
    frame. So nothing piles up when frames come faster than they are processed, and services answer meanwhile.

    A stage names its inputs, how it is built from a stored model, and what it does with a frame.

    inputs: its topics.
    prefixes: of the topics of results; each gets a `status`.
    """

    inputs: tuple[Input, ...]
    prefixes: tuple[str, ...] = ("~/",)

    def __init__(self, name: str, defaults: StageSettings, **options: Any) -> None:
        super().__init__(name, defaults, **options)
        self._reference = next(entry for entry in self.inputs if entry.role == "reference")
        self._inputs: Inputs | None = None
        self._changing = threading.Lock()  # of the inputs
        self._box: Mailbox[Match] | None = None
        self._worker: threading.Thread | None = None
        self._logged = ""
        self._statuses: list[Any] = []
        self._clock_watch = ClockWatch(self)
        self._remark_log = RemarkLog(lambda text: self.get_logger().warning(text))
        self.transforms = Transforms(self)
        self._diagnostics = self.create_publisher(self.types.DiagnosticArray, "/diagnostics", 10)
        self.create_steady_timer(DIAGNOSTICS_S, self._diagnose, MutuallyExclusiveCallbackGroup())

    # --- What a stage defines -----------------------------------------------------------------------------------------

    @abstractmethod
    def open_outputs(self) -> None:
        """Create the publishers of results, with `output`."""

    @abstractmethod
    def process(self, match: Match) -> Outcome:
        """Work on a frame and publish its results; returns what became of it."""

    @abstractmethod
    def publish_nothing(self, header: Header, outcome: Outcome) -> None:
        """Publish empty results for a frame, and why they are empty."""

    def frame_problem(self, frame_id: str) -> str:
        """What is wrong with the frame id of the images; empty when nothing is."""
        return frame_id_problem(frame_id)

    # --- For stages ---------------------------------------------------------------------------------------------------

    def output(self, kind: str, topic: str, qos: QoSProfile | None = None) -> Any:
        """A reliable publisher that is silent while the node is not active."""
        return self.create_lifecycle_publisher(
            getattr(self.types, kind),
            topic,
            qos or QoSProfile(depth=5),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def frame(self, match: Match) -> RgbdFrame:
        """The RGB-D frame of a match."""
        with self.monitor.measured("convert"):
            color, depth = read(match, COLOR, self.types), read(match, DEPTH, self.types)
            frame = to_frame(color, depth, read(match, INFO, self.types), self.settings.rectified)
        self.monitor.note(Reason.BAD_FRAME_ID, self.frame_problem(frame.frame_id))
        self.monitor.note(Reason.ODD_INPUT, *frame.notes)
        self._last_frame = frame
        return frame

    def remarks(self) -> list[Remark]:
        """All that is wrong now, the most important first."""
        found = [Remark(Reason.TRANSITION_REFUSED, self.refusal)] if self.refusal else []
        if self.state != "active":
            found.append(Remark(Reason.NOT_ACTIVE, f"The node is {self.state}."))
        found += self.clock_remarks()
        with self._changing:
            found += [] if self._inputs is None else self._inputs.remarks()
        found += self.monitor.remarks() if self.state == "active" else []
        return by_importance([*found, *duplicate_node(self), *self._declared.remarks()])

    def clock_remarks(self) -> list[Remark]:
        """What is wrong with the node's clock or the stamps of its inputs."""
        return self._clock_watch.remarks(self.monitor.age_s)

    # --- Lifecycle ----------------------------------------------------------------------------------------------------

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model."""
        try:
            self._put_in_use(self.first_model())
            self._statuses = [self.output("FrameStatus", f"{prefix}status", STATUS) for prefix in self.prefixes]
            self.open_outputs()
        except Exception:
            self._forget()
            raise
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen."""
        result = super().on_activate(state)
        try:
            self._box = Mailbox(self.monitor.counts)
            self._worker = threading.Thread(target=self._work, args=(self._box,), name="worker", daemon=True)
            self._worker.start()
            with self._changing:
                self._inputs = Inputs(self, self.inputs, self.settings, self._box, self.monitor, self.types)
        except Exception:
            self._stop()
            super().on_deactivate(state)
            raise
        self.get_logger().info(f"Active, with model {self.models.find('').version[:SHORT]}.")
        return result

    @guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, and wait until the frame under way is done."""
        self._stop()
        return super().on_deactivate(state)

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the model."""
        self._forget()
        return super().on_cleanup(state)

    @guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        self._stop()
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the worker, whatever the state."""
        self._stop()

    def _forget(self) -> None:
        self.models.clear()
        self.monitor.model_reason = ""
        self._statuses = []
        for publisher in [entity for entity in self._managed_entities if hasattr(entity, "topic_name")]:
            self.destroy_lifecycle_publisher(publisher)

    def _stop(self) -> None:
        with self._changing:
            inputs, self._inputs = self._inputs, None
        if inputs is not None:
            inputs.close()
        if self._box is not None:
            self._box.close()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join()
        self._box = self._worker = None

    # --- Frames -------------------------------------------------------------------------------------------------------

    def _work(self, box: Mailbox[Match]) -> None:
        while (match := box.take()) is not None:
            header = serialized_header(match[self._reference.topic])
            with self.monitor.frame(header.stamp_ns, self.get_clock().now().nanoseconds):
                self._work_on(match, header)

    def _work_on(self, match: Match, header: Header) -> None:
        try:
            outcome = self.process(match)
            self._finish(outcome)
            self._publish_status(outcome, header)
        except Exception as error:
            if not self.context.ok():  # The process ends.
                return
            reason = error.reason if isinstance(error, BinposeError) else Reason.INTERNAL_ERROR
            outcome = Outcome(reason, self.describe_error("The frame", error))
            self._finish(outcome)
            self._publish_failure(outcome, header)

    def _finish(self, outcome: Outcome) -> None:
        """Log a reason once, not with every frame; figures in the sentence of a processed frame change with each."""
        key = outcome.message if outcome.is_failure else outcome.reason.code
        if outcome.message and key != self._logged:
            self.get_logger().warning(outcome.message)
        self._logged = key
        self.monitor.finished(outcome)

    def _publish_failure(self, outcome: Outcome, header: Header) -> None:
        """The status first: a stage that sees the empty array then knows that the bin may be full."""
        try:
            self._publish_status(outcome, header)
            self.publish_nothing(header, outcome)
        except Exception:
            self.get_logger().error(traceback.format_exc())

    def _publish_status(self, outcome: Outcome, header: Header) -> None:
        status = from_outcome(outcome, header, self.get_fully_qualified_name(), self.types)
        for publisher in self._statuses:
            publisher.publish(status)

    def _diagnose(self) -> None:
        if not self.context.ok():
            return
        with self._changing:
            if self._inputs is not None:
                self._inputs.follow_types()
        remarks = self.remarks()
        logged = {self.monitor.outcome.message, self.refusal, self.monitor.model_reason}  # when they arose
        news = [r for r in remarks if r.message not in logged and r.reason is not Reason.NOT_ACTIVE]
        self._remark_log.update(news)
        name, model = self.get_fully_qualified_name().lstrip("/"), self.models.current
        status = self.monitor.status(name, self.state, model, remarks, self.types)
        self._diagnostics.publish(diagnostics_of([status], self._clock_watch.now_ns, self.types))

    def _changed(self, settings: Any) -> None:
        super()._changed(settings)
        if self._inputs is not None:
            self._inputs.set_slop(settings.slop_s)
