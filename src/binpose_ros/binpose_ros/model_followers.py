"""The nodes that work on another node's results, as that node requests them to hold a model.

The leader has its followers load and check a version before it uses it, and publishes in its latched `~/model_status`
which one it uses and which one it used before. A follower (`model_follower`) works with the version that its input
names.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.errors import BinposeError
from binpose_core.learning.bundle import ModelBundle, Unanswered
from binpose_core.learning.model_store import SHORT

STEP_S = 0.2


class ModelFollowers:
    """Clients of the followers' `load_model`.

    Args:
        node: the leader.
        names: of the followers, relative or absolute.
    """

    def __init__(self, node: Any, names: Sequence[str]) -> None:
        from binpose_interfaces.srv import LoadModel

        group = MutuallyExclusiveCallbackGroup()  # not that of the service that waits
        self._node, self._kind = node, LoadModel
        self._clients = {
            name: node.create_client(LoadModel, f"{name}/load_model", callback_group=group) for name in names
        }

    def hold(self, model: ModelBundle[Any], timeout_s: float) -> None:
        """Have all of them load and check a model.

        Raises:
            Unanswered: when one has not answered in time, or holds no model yet with which it could compare.
            BinposeError: with the reasons of those that refuse it.
        """
        responses = self._call(self._kind.Request(store=str(model.store), version=model.version), timeout_s)
        if missing := [name for name, got in responses.items() if got is None or not (got.success or got.version)]:
            raise Unanswered(
                f"{', '.join(missing)} did not load model {model.version[:SHORT]} within {timeout_s:g} s; expected all "
                "that work on the results to hold it before it is used; start what is missing, or see its log."
            )
        if refused := [f"{name}: {response.message}" for name, response in responses.items() if not response.success]:
            raise BinposeError(" ".join(refused))

    def _call(self, request: Any, timeout_s: float) -> Mapping[str, Any]:
        """Their responses, None from those that give none; all of them work at the same time."""
        end, futures = time.monotonic() + timeout_s, {}
        for name, client in self._clients.items():
            while not client.service_is_ready() and self._may_wait(end):
                time.sleep(STEP_S)
            futures[name] = client.call_async(request)
        for name, future in futures.items():
            done = threading.Event()
            future.add_done_callback(lambda _, done=done: done.set())
            while not done.wait(STEP_S) and self._may_wait(end):
                pass
            if not future.done():
                self._clients[name].remove_pending_request(future)
        return {name: future.result() if future.done() else None for name, future in futures.items()}

    def _may_wait(self, end: float) -> bool:
        return time.monotonic() < end and bool(self._node.context.ok())
