"""A lifecycle node that works with a model of a store, and puts another one in use between two frames."""

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.golden import golden_frames
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.bundle import Checks, ModelBundle, ModelSlot, Unanswered, load_model
from binpose_core.learning.model_store import SHORT, ModelStore, StoredModel
from binpose_core.learning.stored_parts import assemble
from binpose_core.parts.objects import ObjectModel
from binpose_ros.announcing import Announcer
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.message_types import RosTypes, ros_types
from binpose_ros.monitor import Monitor
from binpose_ros.parameters import Parameters
from binpose_ros.settings import StageSettings
from binpose_ros.trial import trial_frame

Stage = TypeVar("Stage")


class _Trial(NamedTuple):
    """With what a version was tried: name, time and size of its files, and the settings."""

    files: tuple[tuple[str, int, int], ...]
    settings: Any


def _files(store: Path, version: str) -> tuple[tuple[str, int, int], ...]:
    found = [(path.name, path.stat()) for path in sorted(store.glob(f"weights-{version[:SHORT]}*"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


class ModelNode(ManagedNode, Generic[Stage]):
    """Holds the model in use and the one before, built with the settings of now.

    Models are loaded and built one at a time, under one lock; the exchange itself is one assignment (`ModelSlot`).
    """

    def __init__(self, name: str, defaults: StageSettings, **options: Any) -> None:
        super().__init__(name, **options)
        self.types: RosTypes = ros_types()
        self.monitor = Monitor()
        self.models: ModelSlot[Stage] = ModelSlot()
        self._loading = threading.Lock()
        self._last_frame: RgbdFrame | None = None
        self._declared = Parameters(self, defaults, lambda: self.state != "unconfigured", self._changed)
        self._group = MutuallyExclusiveCallbackGroup()  # of all that changes the model
        self._announcer = Announcer(self, self._group)
        self._seen: str | None = None  # the store's current version at the last look
        self._refused: tuple[_Trial, str] | None = None  # what was tried of it, and why it was refused
        if self.settings.watch_s:
            self.create_steady_timer(self.settings.watch_s, self._watch, self._group)

    # --- What a stage defines -----------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Stage:
        """The stage of a stored model."""

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

    def in_use(self, stage: Stage) -> Mapping[str, Any]:
        """What a stage works with of what parameters override, by their names."""
        return {}

    # --- Models -------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Any:
        """The settings of now."""
        return self._declared.settings

    def first_model(self) -> ModelBundle[Stage]:
        """The model to begin with: the one that the settings name.

        Raises:
            BinposeError: with the reason when it cannot be used.
        """
        return self._load(self.settings.model, self.settings.version)

    def swap(self, store: str, version: str) -> ModelBundle[Stage]:
        """Load another version, check it and put it in use between two frames.

        Raises:
            BinposeError: with the reason when it is refused; the old model then stays.
        """
        current = self.models.find("")
        return self._exchange(self._load(store or str(current.store), version, current))

    def roll_back(self) -> ModelBundle[Stage]:
        """Put the model before in use again.

        Raises:
            BinposeError: when there is none.
        """
        return self._exchange(self.models.earlier())

    def before_swap(self, model: ModelBundle[Stage]) -> None:
        """See that all is ready for a model before it is put in use."""

    def _exchange(self, model: ModelBundle[Stage]) -> ModelBundle[Stage]:
        self.before_swap(model)
        with self._loading:
            return self._put_in_use(self._fitted(model, self.settings))

    def _load(self, store: str, version: str, current: ModelBundle[Stage] | None = None) -> ModelBundle[Stage]:
        """A model of a store, checked; it must do no worse than `current`."""
        if not store:
            raise BinposeError("No model is named; expected the folder of a model store; set the parameter `model`.")
        check_device(self.settings.device)
        folder = Path(store).expanduser()
        with self._loading:
            settings, frames = self.settings, golden_frames(folder)
            checks = Checks[Stage](settings.required_objects, self._warm_up, lambda s, o: self.score(s, o, frames))
            build = partial(self.build, settings=settings)
            model = load_model(folder, version, build, checks, ModelBundle[Stage], current)
            return replace(model, settings=settings)

    def _fitted(self, model: ModelBundle[Stage], settings: Any) -> ModelBundle[Stage]:
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

    def _put_in_use(self, model: ModelBundle[Stage]) -> ModelBundle[Stage]:
        number = 1 + max((held.number for held in self.models.held()), default=0)
        model = replace(model, number=number)
        self.models.exchange(model)
        self.monitor.model_reason, self._refused = "", None
        self._seen = model.version if self._seen is None else self._seen
        self._declared.show(self.in_use(model.stage))
        self._announcer.announce(model, self.models.previous)
        score = "" if model.golden is None else f", with a score of {model.golden:.3f} on the golden frames"
        self.get_logger().info(f"Model {model.version[:SHORT]} is in use{score}.")
        return model

    def _watch(self) -> None:
        """Put the store's current version in use when it is another one than at the last look.

        One that was refused is tried again once its files or the node's settings have changed.
        """
        model = self.models.current
        if model is None or self.settings.version:
            return
        try:
            newest = ModelStore(model.store).current()
            if newest is not None:
                self._follow_store(model, newest, _Trial(_files(model.store, newest), self.settings))
        except Exception as error:
            self._refuse(self.describe_error("The new model", error))

    def _follow_store(self, model: ModelBundle[Stage], newest: str, trial: _Trial) -> None:
        seen, refused = self._seen, self._refused
        if newest == seen and (refused is None or refused[0] == trial):
            self.monitor.model_reason = refused[1] if refused else ""
            return
        self._seen, self._refused = newest, None
        try:
            if newest != model.version:
                self.swap("", newest)
            self.monitor.model_reason = ""
        except Unanswered as error:
            self._seen = seen
            self._refuse(str(error))
        except Exception as error:
            reason = self.describe_error("The new model", error)
            self._refused = trial, reason
            self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        """Report in the diagnostics, and once in the log, why the model that should be in use is not."""
        if reason != self.monitor.model_reason:
            self.get_logger().error(f"The new model is refused: {reason}")
        self.monitor.model_reason = reason

    def _changed(self, settings: Any) -> None:
        if (model := self.models.current) is None:
            return
        self.check(settings, model.objects)
        if self.rebuild(self.settings, settings):
            with self._loading:  # A model that is put in use meanwhile would be replaced by the one before.
                self.models.exchange(self._fitted(self.models.find(""), settings))
