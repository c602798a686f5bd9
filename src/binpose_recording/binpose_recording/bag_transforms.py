"""Camera poses from the transforms of a bag, without ROS."""

from functools import cached_property

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_recording.bag_reader import Bag
from binpose_recording.cdr import read_message
from binpose_recording.latched import TRANSFORMS
from binpose_ros.poses import from_transform
from binpose_ros.stamps import NS_PER_S, Header, from_header
from binpose_ros.transform_buffer import TransformBuffer

MARGIN_S = 60.0


class BagTransforms:
    """The transforms on /tf and /tf_static of a bag, read on first use.

    Args:
        bag: that holds them.
        world_frame: a frame that rests with the bin; by default the root of the camera's tree.
    """

    def __init__(self, bag: Bag, world_frame: str = "") -> None:
        self._bag, self._world_frame = bag, world_frame

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics with transforms."""
        return tuple(
            topic for topic, kind in self._bag.types.items() if kind == TRANSFORMS and self._bag.counts.get(topic)
        )

    def relative_pose(self, target: Header, source: Header) -> FloatArray:
        """T_target_source (4, 4) of two frames, each at its own time, by way of the world frame.

        Raises:
            BinposeError: with the reason TF_MISSING, where the transforms do not connect them or reach these times.
        """
        world = self._world_frame or self._buffer.root(target.frame_id)
        T_world_target, T_world_source = (
            np.eye(4) if one.frame_id == world else self._buffer.lookup(world, one.frame_id, one.stamp_ns)
            for one in (target, source)
        )
        return inverse(T_world_target) @ T_world_source

    def camera_pose(self, frame_id: str, stamp_ns: int) -> FloatArray | None:
        """T_world_cam (4, 4) of an optical frame at a time, interpolated; None without transforms of that frame.

        Raises:
            BinposeError: with the reason TF_MISSING, where they do not reach the world frame or that time.
        """
        if not self.topics:
            return None
        world = self._world_frame or self._buffer.root(frame_id)
        return None if world == frame_id else self._buffer.lookup(world, frame_id, stamp_ns)

    @cached_property
    def _buffer(self) -> TransformBuffer:
        first_ns, last_ns = self._bag.times_ns
        buffer = TransformBuffer((last_ns - first_ns) / NS_PER_S + MARGIN_S)
        for place, data in self._bag.messages(set(self.topics)):
            try:
                message = read_message(data, TRANSFORMS)
            except BinposeError:
                continue  # a damaged message; a lookup that needs it says what is missing
            for entry in message.transforms:
                header = from_header(entry)
                static = place.topic.endswith("tf_static")
                T = from_transform(entry.transform)
                buffer.put(header.frame_id, entry.child_frame_id, header.stamp_ns, T, static)
        return buffer
