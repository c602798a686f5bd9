"""The node that decides which model is used: the store's current one, or the one that a service names."""

from pathlib import Path
from typing import Any, Generic, NamedTuple

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.learning.bundle import ModelBundle, Unanswered
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_ros.lifecycle import LifecyclePart
from binpose_ros.model_followers import ModelFollowers
from binpose_ros.model_holder import ModelHolder
from binpose_ros.model_services import ModelServices
from binpose_ros.stage_model import Stage


class _Attempt(NamedTuple):
    """With what a version was tried: name, time and size of its files, and the settings."""

    files: tuple[tuple[str, int, int], ...]
    settings: Any


class ModelLeader(LifecyclePart, Generic[Stage]):
    """Loads the node's first model, swaps models on request, and watches the store for a new current version.

    Args:
        node: with `parameters` and `monitor`.
        models: of the node.
        followers: nodes that must hold a model before this node uses it.
    """

    def __init__(self, node: Any, models: ModelHolder[Stage], followers: ModelFollowers | None = None) -> None:
        self._node, self._models, self._followers = node, models, followers
        group = MutuallyExclusiveCallbackGroup()  # of all that changes the model
        self.services = ModelServices(node, models, self.swap, self.roll_back, group)
        self._seen: str | None = None  # the store's current version when it was checked last
        self._refused: tuple[_Attempt, str] | None = None  # what was tried of it, and why it was refused
        models.on_exchange.append(self._exchanged)
        if node.settings.watch_s:
            node.create_steady_timer(node.settings.watch_s, self.watch, group)

    def configure(self) -> None:
        """Load the model that the parameters name."""
        settings = self._node.settings
        self._models.exchange(self._models.load(settings.model, settings.version))

    def cleanup(self) -> None:
        """Release the models."""
        self._models.clear()

    def swap(self, store: str, version: str) -> ModelBundle[Stage]:
        """Load another version, check it and put it in use between two frames.

        Raises:
            BinposeError: with the reason when it is refused; the old model then stays.
        """
        current = self._models.find()
        return self._exchange(self._models.load(store or str(current.store), version, current))

    def roll_back(self) -> ModelBundle[Stage]:
        """Put the model before in use again.

        Raises:
            BinposeError: when there is none.
        """
        return self._exchange(self._models.roll_back())

    def watch(self) -> None:
        """Put the store's current version in use when it has changed since the last call.

        One that was refused is tried again once its files or the node's settings have changed.
        """
        model = self._models.current
        if model is None or self._node.settings.version:
            return
        try:
            newest = ModelStore(model.store).current()
            if newest is not None:
                self._try(model, newest, _Attempt(_files(model.store, newest), self._node.settings))
        except Exception as error:
            self._models.refuse(self._node.describe_error("The new model", error))

    def _exchange(self, model: ModelBundle[Stage]) -> ModelBundle[Stage]:
        if self._followers is not None:
            self._followers.hold(model, self._node.settings.follow_s)
        return self._models.exchange(model)

    def _exchanged(self, model: ModelBundle[Stage], previous: ModelBundle[Stage] | None) -> None:
        self._seen = model.version if self._seen is None else self._seen
        self._refused = None

    def _try(self, model: ModelBundle[Stage], newest: str, attempt: _Attempt) -> None:
        seen, refused = self._seen, self._refused
        if newest == seen and (refused is None or refused[0] == attempt):
            self._node.monitor.model_reason = refused[1] if refused else ""
            return
        self._seen, self._refused = newest, None
        try:
            if newest != model.version:
                self.swap("", newest)
            self._node.monitor.model_reason = ""
        except Unanswered as error:
            self._seen = seen
            self._models.refuse(str(error))
        except Exception as error:
            reason = self._node.describe_error("The new model", error)
            self._refused = attempt, reason
            self._models.refuse(reason)


def _files(store: Path, version: str) -> tuple[tuple[str, int, int], ...]:
    found = [(path.name, path.stat()) for path in sorted(store.glob(f"weights-{version[:SHORT]}*"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
