"""The lifecycle node that every stage of perception is: convert in, call the library, convert out."""

import threading
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from binpose_core.devices import check_device
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_core.model_store import SHORT, ModelStore, StoredModel
from binpose_core.objects import ObjectModel
from binpose_core.stored_parts import assemble
from binpose_ros.announcing import Announcer
from binpose_ros.frames import to_frame
from binpose_ros.golden import golden_frames
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Inputs, Match, read
from binpose_ros.joining import Mailbox
from binpose_ros.lifecycle import ManagedNode, told
from binpose_ros.message_types import RosTypes, ros_types
from binpose_ros.models import Checks, LoadedModel, ModelSlot, load_model
from binpose_ros.monitor import Monitor
from binpose_ros.parameters import Parameters
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import Header
from binpose_ros.trial import trial_frame

Stage = TypeVar("Stage")
DIAGNOSTICS_S = 1.0


class StageNode(ManagedNode, Generic[Stage]):
    """Loads a model, puts messages together to frames, works on the newest one, and swaps models between two frames.

    Callbacks of subscriptions only sort serialized messages; one worker thread reads and processes the newest complete
    frame. So nothing piles up when frames come faster than they are processed, and services answer meanwhile.

    A stage says what its inputs are, how it is built from a stored model, and what it does with a frame.
    """

    inputs: tuple[Input, ...]

    def __init__(self, name: str, defaults: StageSettings, **options: Any) -> None:
        super().__init__(name, **options)
        self.types: RosTypes = ros_types()
        self.monitor = Monitor()
        self.models: ModelSlot[Stage] = ModelSlot()
        self._reference = next(entry for entry in self.inputs if entry.role == "reference")
        self._inputs: Inputs | None = None
        self._box: Mailbox[Match] | None = None
        self._worker: threading.Thread | None = None
        self._loading = threading.Lock()
        self._last_frame: RgbdFrame | None = None
        self._said = ""
        self._declared = Parameters(self, defaults, lambda: self.state != "unconfigured", self._changed)
        self._service_group = MutuallyExclusiveCallbackGroup()
        self._announcer = Announcer(self, self._service_group)
        self._diagnostics = self.create_publisher(self.types.DiagnosticArray, "/diagnostics", 10)
        self.create_timer(DIAGNOSTICS_S, self._diagnose, callback_group=MutuallyExclusiveCallbackGroup())
        if self.settings.watch_s:
            self.create_timer(self.settings.watch_s, self._watch, callback_group=self._service_group)
        self._seen: str | None = None

    # --- What a stage says of itself ----------------------------------------------------------------------------------

    @abstractmethod
    def build(self, stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Stage:
        """The stage of a stored model."""

    @abstractmethod
    def open_outputs(self) -> None:
        """Create the publishers of results, with `output`."""

    @abstractmethod
    def process(self, match: Match) -> str:
        """Work on a frame and publish its results; returns why they are empty, or an empty text."""

    @abstractmethod
    def publish_nothing(self, header: Header, reason: str) -> None:
        """Publish empty results for a frame that could not be worked on, and why."""

    @abstractmethod
    def try_out(self, stage: Stage, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
        """Run a stage that is not in use yet on a frame."""

    def score(self, stage: Stage, objects: Mapping[str, ObjectModel], frames: Sequence[Any]) -> float | None:
        """How well a stage does on golden frames, or None where it has no measure of its own."""
        return None

    def check(self, settings: Any, objects: Mapping[str, ObjectModel]) -> None:
        """Refuse settings that do not fit a model's parts, with a BinposeError."""

    def rebuild(self, before: Any, after: Any) -> bool:
        """Whether other settings need the stage to be built again."""
        return False

    # --- For stages ---------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Any:
        """The settings of now."""
        return self._declared.settings

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
            self._put_in_use(self._load(self.settings.model, self.settings.version))
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

    # --- Models -------------------------------------------------------------------------------------------------------

    def swap(self, store: str, version: str) -> LoadedModel[Stage]:
        """Load another version, check it and put it in use between two frames.

        Raises:
            BinposeError: with the reason when it is refused; the old model then stays.
        """
        current = self.models.find("")
        model = self._load(store or str(current.store), version)
        self.before_swap(model)
        with self._loading:
            return self._put_in_use(self._fitted(model, self.settings))

    def before_swap(self, model: LoadedModel[Stage]) -> None:
        """Wait for what must be ready before a model is put in use."""

    def roll_back(self) -> LoadedModel[Stage]:
        """Put the model before in use again.

        Raises:
            BinposeError: when there is none.
        """
        with self._loading:
            model = replace(self.models.earlier(), number=self._next_number())
            return self._put_in_use(self._fitted(model, self.settings))

    def _load(self, store: str, version: str) -> LoadedModel[Stage]:
        if not store:
            raise BinposeError("No model is named; expected the folder of a model store; set the parameter `model`.")
        check_device(self.settings.device)
        folder = Path(store).expanduser()
        with self._loading:
            frames = golden_frames(folder)
            checks = Checks[Stage](self.settings.required_objects, self._warm_up, lambda s, o: self.score(s, o, frames))
            settings = self.settings
            model = load_model(
                folder,
                version,
                lambda stored, objects: self.build(stored, objects, settings),
                checks,
                self.models.current,
                self._next_number(),
            )
            return replace(model, settings=settings)

    def _next_number(self) -> int:
        return 1 + max((model.number for model in (self.models.current, self.models.previous) if model), default=0)

    def _fitted(self, model: LoadedModel[Stage], settings: Any) -> LoadedModel[Stage]:
        """The model, built again where the settings have changed since; call it while no other model is loaded."""
        self.check(settings, model.objects)
        if not self.rebuild(model.settings, settings):
            return model
        stored = ModelStore(model.store).load(model.version)
        stage = assemble(stored, lambda: self.build(stored, model.objects, settings))
        return replace(model, stage=stage, settings=settings)

    def _warm_up(self, stage: Stage, objects: Mapping[str, ObjectModel]) -> None:
        self.check(self.settings, objects)
        self.try_out(stage, objects, replace(self._last_frame or trial_frame()))

    def _put_in_use(self, model: LoadedModel[Stage]) -> LoadedModel[Stage]:
        self.models.exchange(model)
        self._seen = model.version if self._seen is None else self._seen
        self._announcer.announce(model, self.models.previous)
        score = "" if model.golden is None else f", with a score of {model.golden:.3f} on the golden frames"
        self.get_logger().info(f"Model {model.version[:SHORT]} is in use{score}.")
        return model

    def _watch(self) -> None:
        """Put the store's current version in use when it is another one than at the last look."""
        model = self.models.current
        if model is None or self.settings.version:
            return
        try:
            newest = ModelStore(model.store).current()
            if newest is None or newest == self._seen:
                return
            self._seen = newest
            if newest != model.version:
                self.swap("", newest)
        except Exception as error:
            self.monitor.model_reason = self.mistake("The new model", error)
            self.get_logger().error(f"The new model is refused: {self.monitor.model_reason}")
        else:
            self.monitor.model_reason = ""

    def _changed(self, settings: Any) -> None:
        if self._inputs is not None:
            self._inputs.set_slop(settings.slop_s)
        with self._loading:  # A model that is put in use meanwhile would be replaced by the one before.
            if (model := self.models.current) is not None and (fitted := self._fitted(model, settings)) is not model:
                self.models.exchange(fitted)
