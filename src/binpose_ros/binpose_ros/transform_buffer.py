"""The transforms of a robot over the last seconds, and the pose of one frame in another at a time. Without ROS.

As in tf2, dynamic transforms are interpolated and never extrapolated. tf2's own buffer is a C++ library that not every
installation of rclpy has.
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse
from binpose_ros.ros_packages import interpolate_rotation
from binpose_ros.stamps import NS_PER_S

KEEP_S = 10.0


class _Link:
    """The transforms from a frame to its parent: one that is static, or those of the last seconds by stamp."""

    def __init__(self, parent: str, static: bool, keep_s: float) -> None:
        self.parent, self.static, self._keep_ns = parent, static, round(keep_s * NS_PER_S)
        self.stamps_ns: list[int] = []
        self.T_parent_child: list[FloatArray] = []

    def put(self, stamp_ns: int, T: FloatArray) -> None:
        if self.static or (self.stamps_ns and stamp_ns < self.stamps_ns[-1] - self._keep_ns):  # The clock restarted.
            self.stamps_ns, self.T_parent_child = [], []
        at = bisect_left(self.stamps_ns, stamp_ns)
        if self.stamps_ns[at : at + 1] == [stamp_ns]:
            self.T_parent_child[at] = T
            return
        self.stamps_ns.insert(at, stamp_ns)
        self.T_parent_child.insert(at, T)
        old = bisect_left(self.stamps_ns, self.stamps_ns[-1] - self._keep_ns)
        del self.stamps_ns[:old], self.T_parent_child[:old]

    def at(self, stamp_ns: int) -> FloatArray:
        """Raises a LookupError that says why there is none at that time."""
        first, last = self.stamps_ns[0], self.stamps_ns[-1]
        if self.static:
            return self.T_parent_child[0]
        if not first <= stamp_ns <= last:
            off_s = (first - stamp_ns if stamp_ns < first else stamp_ns - last) / NS_PER_S
            raise LookupError(f"the {'oldest' if stamp_ns < first else 'newest'} one is {off_s:.3f} s off")
        at = bisect_left(self.stamps_ns, stamp_ns)
        if self.stamps_ns[at] == stamp_ns:
            return self.T_parent_child[at]
        before, after = self.stamps_ns[at - 1 : at + 1]
        T_before, T_after = self.T_parent_child[at - 1 : at + 1]
        return _between(T_before, T_after, (stamp_ns - before) / (after - before))


class TransformBuffer:
    """Takes transforms as they are published, and finds the pose of one frame in another.

    Args:
        keep_s: how long dynamic transforms are kept.
    """

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._links: dict[str, _Link] = {}
        self._keep_s = keep_s

    def put(self, parent: str, child: str, stamp_ns: int, T_parent_child: FloatArray, static: bool = False) -> None:
        """Take a transform (4, 4); one that TF does not take (a frame below itself, no finite numbers) is ignored."""
        if not parent or not child or parent == child or not np.isfinite(T_parent_child).all():
            return
        link = self._links.get(child)
        if link is None or link.parent != parent or link.static != static:
            link = self._links[child] = _Link(parent, static, self._keep_s)
        link.put(stamp_ns, T_parent_child)

    def lookup(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        """T_target_source (4, 4) at a time.

        Raises:
            BinposeError: with the reason TF_MISSING and the link that is missing.
        """
        try:
            up, down = list(self._path(source)), list(self._path(target))
            shared = next((frame for frame in up if frame in down), None)
            if shared is None:
                raise LookupError(f"{up[-1]!r} and {down[-1]!r} are not connected")
            T_shared_source = self._to_ancestor(up[: up.index(shared)], stamp_ns)
            T_shared_target = self._to_ancestor(down[: down.index(shared)], stamp_ns)
        except LookupError as error:
            raise BinposeError(
                f"No transform from {source!r} to {target!r} at the time of the image ({error}); expected one on "
                "/tf or /tf_static; publish where the camera is mounted, or correct target_frame.",
                Reason.TF_MISSING,
            ) from error
        return inverse(T_shared_target) @ T_shared_source

    def root(self, frame: str) -> str:
        """The frame that all others of this one's tree hang on; the frame itself where it has no transform.

        Raises:
            BinposeError: with the reason TF_MISSING for transforms in a loop.
        """
        try:
            return list(self._path(frame))[-1]
        except LookupError as error:
            raise BinposeError(
                f"No world frame of {frame!r} ({error}); expected a tree on /tf and /tf_static; correct them.",
                Reason.TF_MISSING,
            ) from error

    def _path(self, frame: str) -> Iterator[str]:
        """The frame and its ancestors."""
        seen: set[str] = set()
        while frame not in seen:
            seen.add(frame)
            yield frame
            link = self._links.get(frame)
            if link is None:
                return
            frame = link.parent
        raise LookupError(f"the transforms of {frame!r} form a loop")

    def _to_ancestor(self, frames: list[str], stamp_ns: int) -> FloatArray:
        """The pose of the first frame in the parent of the last one; the identity for no frames."""
        T: FloatArray = np.eye(4)
        for frame in frames:
            link = self._links[frame]
            try:
                T = link.at(stamp_ns) @ T
            except LookupError as error:
                raise LookupError(f"of {frame!r} in {link.parent!r} {error}") from error
        return T


def _between(T_before: FloatArray, T_after: FloatArray, fraction: float) -> FloatArray:
    turn = interpolate_rotation(T_before[:3, :3], T_after[:3, :3], fraction)
    return from_rotation_translation(turn, (1 - fraction) * T_before[:3, 3] + fraction * T_after[:3, 3])
