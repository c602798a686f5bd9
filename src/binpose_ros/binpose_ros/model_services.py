"""What a node publishes about its model, and the services that change it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from binpose_core.learning.bundle import ModelBundle
from binpose_core.learning.model_store import SHORT
from binpose_core.parts.objects import ObjectModel
from binpose_ros.model_holder import ModelHolder
from binpose_ros.poses import from_matrix
from binpose_ros.stamps import Header, to_header

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
METHOD = "binpose"


class ModelServices:
    """Latched `~/vision_info` and `~/model_status`, and the services `~/load_model` and `~/rollback`.

    Args:
        node: that has them.
        models: of the node; each exchange is published.
        swap: loads a version (store, version); returns the model.
        roll_back: puts the model before in use again; returns it.
        group: callback group of the services.
    """

    def __init__(
        self,
        node: Any,
        models: ModelHolder[Any],
        swap: Callable[[str, str], ModelBundle[Any]],
        roll_back: Callable[[], ModelBundle[Any]],
        group: Any,
    ) -> None:
        from binpose_interfaces.msg import ModelStatus
        from binpose_interfaces.srv import LoadModel
        from std_srvs.srv import Trigger

        self._node, self._models, self._types = node, models, node.types
        self._info = node.create_publisher(self._types.VisionInfo, "~/vision_info", LATCHED)
        self._status = node.create_publisher(ModelStatus, "~/model_status", LATCHED)
        models.on_exchange.append(self.publish)

        def load_model(request: Any, response: Any) -> Any:
            return self.respond(lambda: swap(request.store, request.version), response)

        def rollback(request: Any, response: Any) -> Any:
            return self.respond(roll_back, response)

        node.create_service(LoadModel, "~/load_model", load_model, callback_group=group)
        node.create_service(Trigger, "~/rollback", rollback, callback_group=group)

    def publish(self, model: ModelBundle[Any], previous: ModelBundle[Any] | None) -> None:
        """Publish which model is in use from now on."""
        from binpose_interfaces.msg import ModelStatus

        header = to_header(Header(self._node.get_clock().now().nanoseconds, ""), self._types)
        self._info.publish(
            self._types.VisionInfo(
                header=header,
                method=f"{METHOD} {model.version[:SHORT]}",
                database_location=model.location,
                database_version=model.number,
            )
        )
        self._status.publish(
            ModelStatus(
                header=header,
                node=self._node.get_fully_qualified_name(),
                version=model.version,
                parent=model.parent or "",
                previous=previous.version if previous else "",
                number=model.number,
                location=model.location,
                object_ids=list(model.objects),
                symmetries=[symmetries_of(part, self._types) for part in model.objects.values()],
                metrics=json.dumps(model.metrics, default=str),
            )
        )

    def respond(self, action: Callable[[], ModelBundle[Any]], response: Any) -> Any:
        """The response of a service: the model that the action gives, or why there is none."""
        try:
            model = action()
            where = "in use" if model is self._models.current else "held, to be used next"
            response.success, response.message = True, f"Model {model.version[:SHORT]} is {where}."
        except Exception as error:  # Without a response the client would wait for ever.
            response.success, response.message = False, self._node.describe_error("The new model", error)
            self._node.get_logger().error(response.message)
        if hasattr(response, "version"):
            current = self._models.current
            response.version = current.version if current else ""
        return response


def symmetries_of(part: ObjectModel, types: Any) -> Any:
    """A binpose_interfaces/ObjectSymmetries."""
    from binpose_interfaces.msg import ObjectSymmetries

    discrete, continuous = part.symmetries.discrete, part.symmetries.continuous
    poses = [from_matrix(np.asarray(T, np.float64), types) for T in discrete if not np.allclose(T, np.eye(4))]
    return ObjectSymmetries(
        object_id=part.id,
        discrete=[
            types.Transform(
                translation=types.Vector3(x=p.position.x, y=p.position.y, z=p.position.z), rotation=p.orientation
            )
            for p in poses
        ],
        axes=[_xyz(symmetry.axis, types.Vector3) for symmetry in continuous],
        axis_points=[_xyz(symmetry.offset, types.Point) for symmetry in continuous],
    )


def _xyz(values: Any, kind: Any) -> Any:
    x, y, z = (float(value) for value in values)
    return kind(x=x, y=y, z=z)
