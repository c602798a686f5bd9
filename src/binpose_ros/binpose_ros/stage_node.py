"""The lifecycle node that every stage of perception is: convert in, call the library, convert out."""

import threading
import traceback
from abc import abstractmethod
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from binpose_core.frames import RgbdFrame
from binpose_core.model_store import SHORT
from binpose_ros.frames import to_frame
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Inputs, Match, read
from binpose_ros.joining import Mailbox
from binpose_ros.lifecycle import told
from binpose_ros.model_node import ModelNode, Stage
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import Header

DIAGNOSTICS_S = 1.0


class StageNode(ModelNode[Stage]):
    """Puts messages together to frames and works on the newest one.

    Callbacks of subscriptions only sort serialized messages; one worker thread reads and processes the newest complete
    frame. So nothing piles up when frames come faster than they are processed, and services answer meanwhile.

    A stage says what its inputs are, how it is built from a stored model, and what it does with a frame.
    """

    inputs: tuple[Input, ...]

    def __init__(self, name: str, defaults: StageSettings, **options: Any) -> None:
        super().__init__(name, defaults, **options)
        self._reference = next(entry for entry in self.inputs if entry.role == "reference")
        self._inputs: Inputs | None = None
        self._box: Mailbox[Match] | None = None
        self._worker: threading.Thread | None = None
        self._said = ""
        self._diagnostics = self.create_publisher(self.types.DiagnosticArray, "/diagnostics", 10)
        self.create_timer(DIAGNOSTICS_S, self._diagnose, callback_group=MutuallyExclusiveCallbackGroup())

    # --- What a stage says of itself ----------------------------------------------------------------------------------

    @abstractmethod
    def open_outputs(self) -> None:
        """Create the publishers of results, with `output`."""

    @abstractmethod
    def process(self, match: Match) -> str:
        """Work on a frame and publish its results; returns why they are empty, or an empty text."""

    @abstractmethod
    def publish_nothing(self, header: Header, reason: str) -> None:
        """Publish empty results for a frame that could not be worked on, and why."""

    # --- For stages ---------------------------------------------------------------------------------------------------

    def output(self, kind: str, topic: str) -> Any:
        """A reliable publisher that is silent while the node is not active."""
        return self.create_lifecycle_publisher(
            getattr(self.types, kind),
            topic,
            QoSProfile(depth=5),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def frame(self, match: Match) -> RgbdFrame:
        """The RGB-D frame of a match."""
        with self.monitor.measured("convert"):
            color, depth = read(match, COLOR, self.types), read(match, DEPTH, self.types)
            frame = to_frame(color, depth, read(match, INFO, self.types), self.settings.rectified)
        self._last_frame = frame
        return frame

    # --- Lifecycle ----------------------------------------------------------------------------------------------------

    @told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model."""
        try:
            self._put_in_use(self.first_model())
            self.open_outputs()
        except Exception:
            self._forget()
            raise
        return super().on_configure(state)

    @told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen."""
        result = super().on_activate(state)
        try:
            self._box = Mailbox(self.monitor.counts)
            self._worker = threading.Thread(target=self._work, args=(self._box,), name="worker", daemon=True)
            self._worker.start()
            self._inputs = Inputs(self, self.inputs, self.settings, self._box, self.monitor, self.types)
        except Exception:
            self._stop()
            super().on_deactivate(state)
            raise
        self.get_logger().info(f"Active, with model {self.models.find('').version[:SHORT]}.")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, and wait until the frame under way is done."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the model."""
        self._forget()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        self._stop()
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the worker, whatever the state."""
        self._stop()

    def refused(self, reason: str) -> None:
        """Tell why a transition failed, in the diagnostics too."""
        self.monitor.reason = reason
        super().refused(reason)

    def _forget(self) -> None:
        self.models.clear()
        for publisher in [entity for entity in self._managed_entities if hasattr(entity, "topic_name")]:
            self.destroy_lifecycle_publisher(publisher)

    def _stop(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
        if self._box is not None:
            self._box.close()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join()
        self._inputs = self._box = self._worker = None

    # --- Frames -------------------------------------------------------------------------------------------------------

    def _work(self, box: Mailbox[Match]) -> None:
        while (match := box.take()) is not None:
            stamp_ns = serialized_header(match[self._reference.topic]).stamp_ns
            with self.monitor.frame(stamp_ns, self.get_clock().now().nanoseconds):
                self._work_on(match)

    def _work_on(self, match: Match) -> None:
        try:
            self._tell(self.process(match))
            self.monitor.succeeded(self._said)
        except Exception as error:
            if not self.context.ok():  # The process ends.
                return
            reason = self.mistake("The frame", error)
            self._tell(reason)
            self.monitor.failed(reason)
            self._publish_nothing(match, reason)

    def _publish_nothing(self, match: Match, reason: str) -> None:
        try:
            self.publish_nothing(serialized_header(match[self._reference.topic]), reason)
        except Exception:
            self.get_logger().error(traceback.format_exc())

    def _tell(self, reason: str) -> None:
        """Log a reason once, not with every frame."""
        if reason and reason != self._said:
            self.get_logger().warning(reason)
        self._said = reason

    def _diagnose(self) -> None:
        if not self.context.ok():
            return
        now_ns = self.get_clock().now().nanoseconds
        name = self.get_fully_qualified_name().lstrip("/")
        self._diagnostics.publish(self.monitor.message(name, self.state, self.models.current, now_ns, self.types))

    def _changed(self, settings: Any) -> None:
        super()._changed(settings)
        if self._inputs is not None:
            self._inputs.set_slop(settings.slop_s)
