"""What a node offers about a model store: its status, promotion and rollback."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.learning.model_store import SHORT
from binpose_ros.running_models import LATCHED
from binpose_ros.stamps import Header, to_header

LOOK_S = 2.0


@dataclass(frozen=True)
class StoreOperations:
    """What the services do; each raises a BinposeError with the reason.

    promote: takes store and version of a request; returns the version in use and a sentence.
    rollback: returns the same. status: gives a sentence and the fields of a ModelStatus.
    """

    promote: Callable[[str, str], tuple[str, str]]
    rollback: Callable[[], tuple[str, str]]
    status: Callable[[], tuple[str, Mapping[str, Any]]]


class StoreServices:
    """Services `~/promote`, `~/rollback` and `~/model_status`, and the latched topic `~/model_status`.

    Args:
        node: that has them.
        operations: what they do.
    """

    def __init__(self, node: Any, operations: StoreOperations) -> None:
        from binpose_interfaces.msg import ModelStatus
        from binpose_interfaces.srv import LoadModel
        from std_srvs.srv import Trigger

        self._node, self._operations, self._kind = node, operations, ModelStatus
        self._shown: Mapping[str, Any] = {}
        self._number = 0
        changes = MutuallyExclusiveCallbackGroup()  # one after the other
        self._publisher = node.create_publisher(ModelStatus, "~/model_status", LATCHED)
        node.create_service(LoadModel, "~/promote", self._promote, callback_group=changes)
        node.create_service(Trigger, "~/rollback", self._rollback, callback_group=changes)
        looks = MutuallyExclusiveCallbackGroup()
        node.create_service(Trigger, "~/model_status", self._status, callback_group=looks)
        node.create_steady_timer(LOOK_S, self.look, looks)

    def look(self) -> None:
        """Publish the status of the store where it has changed."""
        try:
            _, fields = self._operations.status()
        except Exception:  # Without a store there is nothing to show; a request states why.
            return
        if fields == self._shown or not self._node.context.ok():
            return
        self._number += fields.get("version") != self._shown.get("version")
        self._shown = fields
        values = {**fields, "metrics": json.dumps(fields.get("metrics", {}), default=str), "number": self._number}
        header = to_header(Header(self._node.get_clock().now().nanoseconds, ""), self._node.types)
        self._publisher.publish(self._kind(header=header, node=self._node.get_fully_qualified_name(), **values))

    def _promote(self, request: Any, response: Any) -> Any:
        return self._respond(lambda: self._operations.promote(request.store, request.version), response)

    def _rollback(self, request: Any, response: Any) -> Any:
        return self._respond(self._operations.rollback, response)

    def _status(self, request: Any, response: Any) -> Any:
        return self._respond(lambda: ("", self._operations.status()[0]), response)

    def _respond(self, action: Callable[[], tuple[str, str]], response: Any) -> Any:
        version = ""
        try:
            version, response.message = action()
            response.success = True
        except Exception as error:  # Without a response the client would wait for ever.
            response.success, response.message = False, self._node.describe_error("The request", error)
            self._node.get_logger().error(response.message)
        if hasattr(response, "version"):
            response.version = version or self._shown.get("version", "")
        if version:
            self._node.get_logger().info(f"Model {version[:SHORT]} is in use in the store.")
            self.look()
        return response
