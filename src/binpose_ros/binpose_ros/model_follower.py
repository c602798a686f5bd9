"""A node that works with the model of another node, the leader, on whose results it works."""

import threading
from pathlib import Path
from typing import Any, Generic

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.errors import BinposeError
from binpose_core.learning.bundle import ModelBundle
from binpose_core.learning.model_store import ModelStore
from binpose_ros.lifecycle import LifecyclePart
from binpose_ros.model_holder import ModelHolder
from binpose_ros.model_services import LATCHED, ModelServices
from binpose_ros.stage_model import Stage

LEADER_TIMEOUT_S = 2.0


class ModelFollower(LifecyclePart, Generic[Stage]):
    """Holds the model that the leader uses, the one before, and the one that it was requested to hold last.

    It starts with its store's current model, until it receives the leader's status.

    Args:
        node: with `parameters` and `monitor`.
        models: of the node.
    """

    def __init__(self, node: Any, models: ModelHolder[Stage]) -> None:
        from binpose_interfaces.msg import ModelStatus

        self._node, self._models = node, models
        self._status = ModelStatus()
        self._received, self._updating = threading.Event(), threading.Lock()
        group = MutuallyExclusiveCallbackGroup()  # of all that changes the model
        self.services = ModelServices(node, models, self.swap, self.roll_back, group)
        subscription = node.create_subscription(
            ModelStatus, "detection/model_status", self._receive, LATCHED, callback_group=group
        )
        # As remapped: bin_picking where all stages are in one process.
        self.leader = subscription.topic_name.rpartition("/")[0].lstrip("/")
        if node.settings.watch_s:
            node.create_steady_timer(node.settings.watch_s, self.watch, group)

    def configure(self) -> None:
        """Load the store's current model, then that of the leader where it is another one."""
        self._models.exchange(self._first())
        self.watch()

    def cleanup(self) -> None:
        """Release the models."""
        self._models.clear()

    def swap(self, store: str, version: str) -> ModelBundle[Stage]:
        """Hold another version, until the leader uses it.

        Raises:
            BinposeError: with the reason when it is refused.
        """
        current = self._models.find()
        is_in_use = version and version in (self._status.version, self._status.previous)
        model = self._find_or_load(store, version, None if is_in_use else current)
        self._models.offer(model)
        return model

    def roll_back(self) -> ModelBundle[Stage]:
        """Refuse it.

        Raises:
            BinposeError: with the name of the node that can.
        """
        raise BinposeError(f"This node uses the model that {self.leader} uses; call the service of {self.leader}.")

    def watch(self) -> None:
        """Put the model in use that the leader uses."""
        with self._updating:
            status, current = self._status, self._models.current
            if current is None or status.version in ("", current.version):
                self._node.monitor.model_reason = ""
                return
            try:
                self._models.exchange(self._find_or_load(str(Path(status.location).parent), status.version, None))
            except Exception as error:
                self._models.refuse(self._node.describe_error(f"The model of {self.leader}", error))

    def _receive(self, status: Any) -> None:
        self._status = status
        self._received.set()
        self.watch()

    def _first(self) -> ModelBundle[Stage]:
        """The store's current model, or that of the leader when the current one cannot be used."""
        settings = self._node.settings
        try:
            return self._models.load(settings.model, settings.version)
        except BinposeError:
            if settings.version or not self._received.wait(LEADER_TIMEOUT_S):
                raise
            return self._models.load(settings.model, self._status.version)

    def _find_or_load(self, store: str, version: str, current: ModelBundle[Stage] | None) -> ModelBundle[Stage]:
        """A version that is held, or else is loaded from the first store that has it: a version is the same in all."""
        if version:
            for model in self._models.held():
                if model.version.startswith(version):
                    return model
        own = [str(self._models.find().store), self._node.settings.model] if version else []
        for folder in map(Path.expanduser, map(Path, own)):
            if any(known.startswith(version) for known in ModelStore(folder).versions()):
                return self._models.load(str(folder), version, current)
        return self._models.load(store or str(self._models.find().store), version, current)
