"""Which models the running nodes of a graph use, as they announce it."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import SHORT

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
STEP_S = 0.2


class RunningModels:
    """Subscribes to the `model_status` of nodes, and to the diagnostics in which they refuse a model.

    Args:
        node: that has the subscriptions.
        topics: of type binpose_interfaces/ModelStatus.
    """

    def __init__(self, node: Any, topics: Sequence[str]) -> None:
        from binpose_interfaces.msg import ModelStatus

        self._node, self._group = node, ReentrantCallbackGroup()  # the service that waits must not block them
        self._changed = threading.Condition()
        self._newest: dict[str, Any] = {}
        self._refusals: dict[str, tuple[float, str]] = {}  # time and sentence by node
        for topic in topics:
            node.create_subscription(
                ModelStatus, topic, lambda status, name=topic: self._take(name, status), LATCHED,
                callback_group=self._group,
            )  # fmt: skip
        node.create_subscription(
            node.types.DiagnosticArray, "/diagnostics", self._diagnosed, 10, callback_group=self._group
        )

    def using(self, store: Path) -> dict[str, str]:
        """The versions that running nodes use of a store, by the names of the nodes."""
        with self._changed:
            newest = list(self._newest.items())
        return {
            status.node: status.version
            for topic, status in newest
            if _same(Path(status.location).parent, store) and self._node.count_publishers(topic)
        }

    def wait(self, store: Path, version: str, patience_s: float) -> str:
        """Wait until all nodes that use a store use this version of it; which one does not and why, or an empty text.

        Args:
            store: folder of the model store.
            version: that is in use in the store now.
            patience_s: seconds.
        """
        begun = time.monotonic()
        while late := [name for name, used in self.using(store).items() if used != version]:
            if refused := [text for name, (at, text) in self._refused(late) if at > begun]:
                return f"{late[0].lstrip('/')} refuses model {version[:SHORT]}: {refused[0]}"
            if time.monotonic() - begun >= patience_s or not self._node.context.ok():
                return (
                    f"{', '.join(name.lstrip('/') for name in late)} did not use model {version[:SHORT]} within "
                    f"{patience_s:g} s; its log and the parameter watch_s state why."
                )
            with self._changed:
                self._changed.wait(STEP_S)
        return ""

    def _refused(self, names: Sequence[str]) -> list[tuple[str, tuple[float, str]]]:
        with self._changed:
            return [(name, found) for name in names if (found := self._refusals.get(name.lstrip("/")))]

    def _take(self, topic: str, status: Any) -> None:
        with self._changed:
            self._newest[topic] = status
            self._changed.notify_all()

    def _diagnosed(self, array: Any) -> None:
        for status in array.status:
            values: Mapping[str, str] = {entry.key: entry.value for entry in status.values}
            with self._changed:
                if Reason.MODEL_REFUSED.code in values.get("codes", "").split(","):
                    # From the first time on: an old refusal must not count against a later version.
                    self._refusals.setdefault(status.name, (time.monotonic(), status.message))
                else:
                    self._refusals.pop(status.name, None)


def _same(one: Path, other: Path) -> bool:
    return one.expanduser().resolve() == other.expanduser().resolve()
