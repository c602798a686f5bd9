"""The models that a node holds: each is loaded and checked beside the one in use, and swapped between two frames."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError
from binpose_core.base.kernel_compilation import on_compilation
from binpose_core.evaluation.golden import golden_frames
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.bundle import Checks, ModelBundle, ModelSlot, load_model
from binpose_core.learning.model_store import SHORT, ModelStore, StoredModel
from binpose_core.learning.stored_parts import assemble
from binpose_core.parts.drawn_scene import drawn_scene
from binpose_ros.stage_model import Objects, Stage, StageModel


class ModelHolder(Generic[Stage]):
    """Holds the model in use and the one before, built with the current settings.

    Models are loaded and built one at a time, under one lock; the exchange itself is one assignment (`ModelSlot`).

    Args:
        node: with `parameters` and `monitor`.
        stage_model: how the stage is made of a stored model.

    last_frame: on which a new model that begins with detection is tried; None before the first one.
    on_exchange: called after each exchange with the model in use and the one before.
    """

    def __init__(self, node: Any, stage_model: StageModel[Stage]) -> None:
        self._node, self._stage_model = node, stage_model
        self._slot: ModelSlot[Stage] = ModelSlot()
        self._loading = threading.Lock()
        self.last_frame: RgbdFrame | None = None
        self.on_exchange: list[Callable[[ModelBundle[Stage], ModelBundle[Stage] | None], None]] = []
        node.parameters.on_change.append(self._apply)

    @property
    def current(self) -> ModelBundle[Stage] | None:
        """The model in use."""
        return self._slot.current

    @property
    def previous(self) -> ModelBundle[Stage] | None:
        """The model before."""
        return self._slot.previous

    def find(self, version: str = "") -> ModelBundle[Stage]:
        """The held model whose version begins with `version`; the one in use for an empty one.

        Raises:
            BinposeError: when none of those held is it.
        """
        return self._slot.find(version)

    def held(self) -> tuple[ModelBundle[Stage], ...]:
        """All of them, the one in use first."""
        return self._slot.held()

    def offer(self, model: ModelBundle[Stage]) -> None:
        """Hold a model that is to be used next."""
        self._slot.offer(model)

    def load(self, store: str, version: str, current: ModelBundle[Stage] | None = None) -> ModelBundle[Stage]:
        """A model of a store, checked; it may do no worse than `current`.

        Raises:
            BinposeError: with the reason when it is refused.
        """
        if not store:
            raise BinposeError("No model is named; expected the folder of a model store; set the parameter `model`.")
        check_device(self._node.settings.device)
        folder = Path(store).expanduser()
        with self._loading:
            settings, frames = self._node.settings, golden_frames(folder)

            def build(stored: StoredModel, objects: Objects) -> Stage:
                return self._stage_model.build(stored, objects, settings)

            def score(stage: Stage, objects: Objects) -> float | None:
                return self._stage_model.score(stage, objects, frames, settings)

            checks = Checks[Stage](settings.required_objects, self._warm_up, score)
            with on_compilation(self._report_compilation):
                model = load_model(folder, version, build, checks, ModelBundle[Stage], current)
            return replace(model, settings=settings)

    def exchange(self, model: ModelBundle[Stage]) -> ModelBundle[Stage]:
        """Put a model in use, built again where the settings have changed since it was loaded.

        Raises:
            BinposeError: when the settings do not fit its parts.
        """
        with self._loading:
            return self._put_in_use(self._fitted(model, self._node.settings))

    def roll_back(self) -> ModelBundle[Stage]:
        """The model before, to be put in use again.

        Raises:
            BinposeError: when there is none.
        """
        return self._slot.earlier()

    def clear(self) -> None:
        """Release all models."""
        self._slot.clear()
        self._node.monitor.model_reason = ""

    def refuse(self, reason: str) -> None:
        """Report in the diagnostics, and once in the log, why the model that should be in use is not."""
        if reason != self._node.monitor.model_reason:
            self._node.get_logger().error(f"The new model is refused: {reason}")
        self._node.monitor.model_reason = reason

    def _report_compilation(self, number: int, name: str) -> None:
        if number == 1:
            self._node.get_logger().info("Compiling kernels, once per machine and user: about a minute.")

    def _warm_up(self, stage: Stage, objects: Objects) -> None:
        self._stage_model.check(self._node.settings, objects)
        self._stage_model.warm_up(stage, objects, replace(self.last_frame or drawn_scene(objects).frame))

    def _fitted(self, model: ModelBundle[Stage], settings: Any) -> ModelBundle[Stage]:
        """Call it with the lock held."""
        self._stage_model.check(settings, model.objects)
        if not self._stage_model.must_rebuild(model.settings, settings):
            return model
        stored = ModelStore(model.store).load(model.version)
        stage = assemble(stored, lambda: self._stage_model.build(stored, model.objects, settings))
        return replace(model, stage=stage, settings=settings)

    def _put_in_use(self, model: ModelBundle[Stage]) -> ModelBundle[Stage]:
        number = 1 + max((held.number for held in self.held()), default=0)
        model = replace(model, number=number)
        self._slot.exchange(model)
        self._node.monitor.model_reason = ""
        self._node.parameters.show(self._stage_model.parameters(model.stage))
        for callback in self.on_exchange:
            callback(model, self.previous)
        score = "" if model.golden is None else f", with a score of {model.golden:.3f} on the golden frames"
        self._node.get_logger().info(f"Model {model.version[:SHORT]} is in use{score}.")
        return model

    def _apply(self, settings: Any) -> None:
        """Take changed settings; raises a BinposeError where they do not fit the model's parts."""
        if (model := self.current) is None:
            return
        self._stage_model.check(settings, model.objects)
        if self._stage_model.must_rebuild(self._node.settings, settings):
            with self._loading:  # A model that is put in use meanwhile would be replaced by the one before.
                self._slot.exchange(self._fitted(self.find(), settings))
