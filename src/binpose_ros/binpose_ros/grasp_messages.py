"""Grasps as messages and back: arrays, markers of the hand, and the service that returns the last ones."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from binpose_core.frames.types import Drag, Grasp, Hypothesis
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_ros.markers import DELETE_ALL, marker, xyz
from binpose_ros.poses import from_matrices, from_matrix, to_matrix
from binpose_ros.stamps import Header, to_header
from binpose_ros.vision_arrays import instance_id, split_id

Boxes = Callable[[float], tuple[FloatArray, FloatArray]]
ARROW, CUBE = 0, 1  # visualization_msgs/Marker
FREE, BEST, REFUSED = (0.6, 0.6, 0.6, 0.35), (0.1, 0.8, 0.2, 0.8), (0.9, 0.1, 0.1, 0.5)
MOVE, ARROW_M = (0.95, 0.75, 0.1, 0.9), (0.008, 0.008)
IDENTITY = np.eye(4)
SHOWN = 5


class GraspOutputs:
    """The topics of grasps below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._types = node.types
        self._grasps = node.output("GraspArray", f"{prefix}grasps")
        self._best = node.output("PoseStamped", f"{prefix}best_grasp")
        self._poses = node.output("PoseArray", f"{prefix}grasp_poses")
        self._markers = node.output("MarkerArray", f"{prefix}markers")

    def publish(
        self,
        header: Header,
        grasps: Sequence[Grasp],
        version: str,
        T_tcp_hand: FloatArray = IDENTITY,
        boxes: Boxes | None = None,
        refused: Sequence[Grasp] = (),
        drags: Sequence[Drag] = (),
    ) -> None:
        """Publish a frame's grasps, best first; the best one also by itself where there is one.

        Args:
            header: of the results.
            grasps: poses of the tool centre point in the header's frame.
            version: of the model.
            T_tcp_hand: (4, 4) of the frame that the published poses are of.
            boxes: lower and upper corners (B, 3) of the hand that is open for a width, for the markers.
            refused: grasps that are shown where there are no others.
            drags: in the header's frame, where no grasp is probable to succeed.
        """
        types, array = self._types, grasp_array(header, grasps, version, T_tcp_hand, self._types, drags)
        poses = [message.pose for message in array.grasps]
        self._grasps.publish(array)
        self._poses.publish(types.PoseArray(header=array.header, poses=poses))
        if poses:
            self._best.publish(types.PoseStamped(header=array.header, pose=poses[0]))
        self._markers.publish(hand_markers(header, grasps, refused, boxes, types, drags))


@dataclass(frozen=True, eq=False)
class GraspResult:
    """The grasps of an image, or why there are none.

    header: stamp and frame.
    grasps: poses of the tool centre point in that frame, best first.
    version: of the model.
    T_tcp_hand: (4, 4) of the frame that published poses are of.
    message: why there are none.
    success: whether the image was processed.
    drags: in that frame, where no grasp is probable to succeed.
    """

    header: Header
    grasps: Sequence[Grasp]
    version: str
    T_tcp_hand: FloatArray
    message: str = ""
    success: bool = True
    drags: Sequence[Drag] = ()

    def of(self, object_ids: Sequence[str], most: int = 0) -> list[Grasp]:
        """The best grasps of some parts, of all if none is named; at most `most`, all for 0."""
        chosen = [grasp for grasp in self.grasps if not object_ids or grasp.object_id in object_ids]
        return chosen[: most or None]


class GraspService:
    """`~/get_grasps`: the grasps of the last image.

    Args:
        node: that offers it.
    """

    def __init__(self, node: Any) -> None:
        from binpose_interfaces.srv import GetGrasps

        self._node, self._changed = node, threading.Condition()
        self._last: GraspResult | None = None
        node.create_service(GetGrasps, "~/get_grasps", self._respond)

    def put(self, result: GraspResult) -> None:
        """Remember the grasps of a frame, or why there are none."""
        with self._changed:
            self._last = result
            self._changed.notify_all()

    @property
    def last(self) -> GraspResult | None:
        """That of the last image."""
        with self._changed:
            return self._last

    def wait(self, seconds: float) -> None:
        """Wait for the next image."""
        with self._changed:
            self._changed.wait(seconds)

    def why_not(self, object_ids: Sequence[str]) -> str:
        """Why there is no grasp of these parts."""
        last = self.last
        if last is None:
            return "No image has been processed yet."
        return f"There are grasps, but none of {', '.join(object_ids)}." if last.grasps else last.message

    def _respond(self, request: Any, response: Any) -> Any:
        last = self.last
        if last is None:
            response.success, response.message = False, self.why_not(())
            return response
        chosen = last.of(request.object_ids, request.max_grasps)
        drags = [drag for drag in last.drags if not request.object_ids or drag.object_id in request.object_ids]
        response.success, response.message = last.success, "" if chosen else self.why_not(request.object_ids)
        response.grasps = grasp_array(last.header, chosen, last.version, last.T_tcp_hand, self._node.types, drags)
        return response


def grasp_array(
    header: Header,
    grasps: Sequence[Grasp],
    version: str,
    T_tcp_hand: FloatArray,
    types: Any,
    drags: Sequence[Drag] = (),
) -> Any:
    """A binpose_interfaces/GraspArray of poses in the header's frame."""
    columns = [_poses([getattr(g, f"T_cam_{name}") @ T_tcp_hand for g in grasps], types) for name in PLACES]
    parts = [grasp.pose or Hypothesis(grasp.object_id, IDENTITY, 0.0) for grasp in grasps]
    columns.append(_poses([part.T_cam_obj for part in parts], types))
    entries = [
        types.Grasp(
            object_id=grasp.object_id,
            detection_id=instance_id(version, grasp.pose_index),
            object_pose=object_pose,
            object_score=part.score,
            pose=pose,
            pregrasp=pregrasp,
            retreat=retreat,
            width=grasp.width_m,
            score=grasp.score,
            tool=grasp.tool,
            joints=types.doubles([] if grasp.joints is None else grasp.joints[grasp.grasp_waypoint].tolist()),
        )
        for grasp, part, pose, pregrasp, retreat, object_pose in zip(grasps, parts, *columns, strict=True)
    ]
    moves = [
        types.Drag(
            object_id=drag.object_id,
            detection_id=instance_id(version, drag.pose_index),
            pose=from_matrix(drag.T_cam_hand @ T_tcp_hand, types),
            direction=xyz(types, *(float(value) for value in drag.direction)),
            length=drag.length_m,
        )
        for drag in drags
    ]
    return types.GraspArray(header=to_header(header, types), grasps=entries, drags=moves)


def to_drag(message: Any) -> Drag:
    """The drag in a binpose_interfaces/Drag, in the frame of its array.

    Raises:
        BinposeError: for a detection id that no node of binpose writes.
    """
    way = message.direction
    direction = np.array([way.x, way.y, way.z], np.float64)
    index = split_id(message.detection_id)[1]
    return Drag(str(message.object_id), index, to_matrix(message.pose), direction, float(message.length))


def to_grasp(message: Any) -> Grasp:
    """The grasp in a binpose_interfaces/Grasp, in the frame of its array; the joints are those at the grasp alone.

    Raises:
        BinposeError: for a detection id that no node of binpose writes.
    """
    joints = np.array(message.joints, np.float64)
    return Grasp(
        str(message.object_id),
        to_matrix(message.pose),
        float(message.width),
        float(message.score),
        to_matrix(message.pregrasp),
        to_matrix(message.retreat),
        split_id(message.detection_id)[1],
        str(message.tool),
        joints=joints[None] if len(joints) else None,
        pose=Hypothesis(str(message.object_id), to_matrix(message.object_pose), float(message.object_score)),
    )


PLACES = ("hand", "pregrasp", "retreat")


def hand_markers(
    header: Header,
    grasps: Sequence[Grasp],
    refused: Sequence[Grasp],
    boxes: Boxes | None,
    types: Any,
    drags: Sequence[Drag] = (),
) -> Any:
    """A MarkerArray of the hand at the best grasps, in place of the one before.

    The best one is green. Without any, the best refused one is red. An arrow shows the best drag.
    """
    markers = [marker(types, header, "hands", 0, action=DELETE_ALL)]
    shown = grasps[:SHOWN] or refused[:1]
    for number, grasp in enumerate(shown if boxes is not None else ()):
        color = REFUSED if not grasps else BEST if number == 0 else FREE
        low, high = boxes(grasp.width_m)  # type: ignore[misc]
        for place, (a, b) in enumerate(zip(low, high, strict=True)):
            T = grasp.T_cam_hand @ from_rotation_translation(np.eye(3), (a + b) / 2)
            sides = xyz(types, *(float(side) for side in b - a))
            one = len(low) * number + place
            markers.append(marker(types, header, "hands", one, type=CUBE, T=T, color=color, scale=sides))
    for drag in drags[:1]:
        size = xyz(types, drag.length_m, *ARROW_M)
        markers.append(marker(types, header, "drag", 0, type=ARROW, T=_arrow(drag), color=MOVE, scale=size))
    return types.MarkerArray(markers=markers)


def _arrow(drag: Drag) -> FloatArray:
    """(4, 4) of an arrow along the way, which begins at the hand."""
    down = drag.T_cam_hand[:3, 2]
    axes = np.stack([drag.direction, np.cross(down, drag.direction), down], -1)
    return from_rotation_translation(axes, drag.T_cam_hand[:3, 3])


def in_frame(grasps: Sequence[Grasp], T_target_cam: FloatArray) -> list[Grasp]:
    """Grasps with their poses in another frame than the camera's."""
    return [grasp.moved(T_target_cam) for grasp in grasps]


def _poses(T: Sequence[FloatArray], types: Any) -> list[Any]:
    return from_matrices(np.stack(T), types) if T else []
