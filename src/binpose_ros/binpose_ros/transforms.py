"""The transforms on /tf and /tf_static, for results in another frame than the camera's."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_ros.poses import from_transform
from binpose_ros.stamps import Header, from_header
from binpose_ros.transform_buffer import TransformBuffer

PATIENCE_S = 0.5
STATIC = QoSProfile(depth=100, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Transforms:
    """Where frames are in each other. It subscribes when it is first needed.

    Args:
        node: that subscribes.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._buffer = TransformBuffer()
        self._changed = threading.Condition()
        self._subscribed = False

    def lookup(self, target: str, source: Header) -> FloatArray:
        """T_target_source (4, 4) at the source's stamp, waiting a moment for it; the identity for the same frame.

        Raises:
            BinposeError: with the reason TF_MISSING when it does not arrive.
        """
        if target == source.frame_id:
            return np.eye(4)
        self._subscribe()
        with self._changed:
            self._changed.wait_for(lambda: self._is_there(target, source), PATIENCE_S)
            return self._buffer.lookup(target, source.frame_id, source.stamp_ns)

    def root(self, frame: str) -> str:
        """The frame that all others of this one's tree hang on, waiting a moment for transforms.

        Raises:
            BinposeError: with the reason TF_MISSING when the frame has no transform.
        """
        self._subscribe()
        with self._changed:
            self._changed.wait_for(lambda: self._buffer.root(frame) != frame, PATIENCE_S)
            root = self._buffer.root(frame)
        if root == frame:
            raise BinposeError(
                f"No transform of {frame!r} arrived; expected where the camera is on /tf or /tf_static; publish it, "
                "with the robot's state and the calibration of the camera.",
                Reason.TF_MISSING,
            )
        return root

    def _is_there(self, target: str, source: Header) -> bool:
        try:
            self._buffer.lookup(target, source.frame_id, source.stamp_ns)
        except BinposeError:
            return False
        return True

    def _subscribe(self) -> None:
        if self._subscribed:
            return
        self._subscribed = True
        kind, group = self._node.types.TFMessage, MutuallyExclusiveCallbackGroup()
        subscribe = self._node.create_subscription
        subscribe(kind, "/tf", lambda message: self._put(message, False), 100, callback_group=group)
        subscribe(kind, "/tf_static", lambda message: self._put(message, True), STATIC, callback_group=group)

    def _put(self, message: Any, static: bool) -> None:
        with self._changed:
            for entry in message.transforms:
                header = from_header(entry)
                T = from_transform(entry.transform)
                self._buffer.put(header.frame_id, entry.child_frame_id, header.stamp_ns, T, static)
            self._changed.notify_all()


def placed(
    transforms: Transforms, header: Header, poses: Sequence[PoseEstimate], target_frame: str
) -> tuple[Header, list[PoseEstimate]]:
    """Poses in the frame in which they are to be published, and the header that they get.

    Args:
        transforms: of the robot.
        header: of the image.
        poses: in the camera frame.
        target_frame: its name; empty for that of the camera.

    Raises:
        BinposeError: with the reason TF_MISSING.
    """
    if not target_frame:
        return header, list(poses)
    T_target_cam = transforms.lookup(target_frame, header)
    return Header(header.stamp_ns, target_frame), moved(poses, T_target_cam)


def moved(poses: Sequence[PoseEstimate], T_target_cam: FloatArray) -> list[PoseEstimate]:
    """The poses, their hypotheses and covariances in another frame.

    Args:
        poses: in the camera frame.
        T_target_cam: (4, 4), the camera in the other frame.
    """
    turn = np.kron(np.eye(2), T_target_cam[:3, :3])
    return [
        replace(
            pose,
            T_cam_obj=T_target_cam @ pose.T_cam_obj,
            covariance=None if pose.covariance is None else turn @ pose.covariance @ turn.T,
            hypotheses=tuple(replace(h, T_cam_obj=T_target_cam @ h.T_cam_obj) for h in pose.hypotheses),
        )
        for pose in poses
    ]
