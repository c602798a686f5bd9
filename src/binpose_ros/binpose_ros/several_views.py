"""Several views of one resting bin for a goal of `~/estimate_poses`, taken one after the other by a moving camera."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError, Cancelled
from binpose_core.base.reasons import Reason
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, log_so3
from binpose_ros.settings import check_tf_name
from binpose_ros.stamps import NS_PER_S, Header
from binpose_ros.transforms import Transforms

MOST_VIEWS = 16
ATTEMPT_S = 5.0  # for a camera that comes to rest, and transforms that arrive late
STEP_S = 0.2
MOTION = (Reason.SAME_VIEW, Reason.CAMERA_MOVES)


@dataclass(frozen=True)
class ViewsSettings:
    """Parameters of goals with several views.

    frame: rests with the bin, such as base_link; the poses are returned in it. By default target_frame, or the root of
        the camera's frames on /tf where that is empty.
    still_s: how long the camera must stand still before an image counts as a view.
    still_m: distance of the camera's motion in this time, in metres, up to which it stands still.
    still_rad: angle of the camera's motion in this time, in radians, up to which it stands still.
    apart_m: distance to each earlier view, in metres, from which an image is another view.
    apart_rad: angle to each earlier view, in radians, from which an image is another view, also at a smaller distance.
    patience_s: how long each further view is waited for.
    """

    frame: str = setting("", live=True)
    still_s: float = setting(0.3, bounds=(0.0, 10.0), live=True)
    still_m: float = setting(0.001, bounds=(0.0, 1.0), live=True)
    still_rad: float = setting(0.002, bounds=(0.0, 1.0), live=True)
    apart_m: float = setting(0.02, bounds=(0.0, 10.0), live=True)
    apart_rad: float = setting(0.1, bounds=(0.0, 3.2), live=True)
    patience_s: float = setting(120.0, bounds=(0.1, 1e5), live=True)

    def __post_init__(self) -> None:
        check_bounds(self)
        check_tf_name("views.frame", self.frame)


@dataclass(frozen=True, eq=False)
class TakenView:
    """An image of the bin: header of the image, what the stage made of it, and where the camera was (4, 4)."""

    header: Header
    frame: RgbdFrame
    result: Any
    version: str
    T_world_cam: FloatArray


@dataclass(frozen=True, eq=False)
class JoinedViews:
    """What V views give together.

    poses: in the world, best first.
    T_world_cam: (V) camera poses, corrected where the parts show an error.
    residual_m: (V,) size of the errors at the parts; NaN where it is not known.
    together: (V) whether each view was used with others.
    notes: verdicts on the camera poses, one sentence each.
    """

    poses: Sequence[PoseEstimate]
    T_world_cam: Sequence[FloatArray]
    residual_m: Sequence[float]
    together: Sequence[bool]
    notes: Sequence[str]


JoinTaken = Callable[[Sequence[TakenView]], JoinedViews]
NextFrame = Callable[[Any, int], Any]
"""The `FrameResult` of the first frame with at least a stamp, for a goal."""


class _Request:
    """A call of `~/next_view`: when it came, and its answer."""

    def __init__(self, asked_ns: int) -> None:
        self.asked_ns, self.answer = asked_ns, ""
        self.taken, self.done = False, threading.Event()

    def finish(self, taken: bool, answer: str) -> None:
        """Answer it; the first answer counts."""
        if self.done.is_set():
            return
        self.taken, self.answer = taken, answer
        self.done.set()


class ViewCollector:
    """Takes the views of one goal at a time, and offers `~/next_view`.

    Args:
        node: with `settings.views`, `settings.target_frame` and a lifecycle state.
        transforms: of the robot.
        next_frame: waits for a frame.
    """

    def __init__(self, node: Any, transforms: Transforms, next_frame: NextFrame) -> None:
        from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
        from std_srvs.srv import Trigger

        self._node, self._transforms, self._next_frame = node, transforms, next_frame
        self._changed = threading.Condition()
        self._collecting = self._on_call = False
        self._request: _Request | None = None  # that waits
        self._current: _Request | None = None  # that is worked on
        node.create_service(Trigger, "~/next_view", self._serve, callback_group=MutuallyExclusiveCallbackGroup())

    def collect(self, goal: Any, feedback: Callable[[int], None]) -> tuple[str, list[TakenView]]:
        """The frame that rests with the bin, and the views of a goal.

        Args:
            goal: with the number of views.
            feedback: called with the number of each view, from 1, before it is waited for.

        Raises:
            BinposeError: when a view cannot be taken, with the reason; `Cancelled` for a cancelled goal.
        """
        with self._changed:
            if self._collecting:
                raise BinposeError("Another goal collects views; wait for its end.", Reason.BUSY)
            self._collecting, self._on_call = True, not goal.request.when_still
        try:
            return self._collected(goal, feedback)
        finally:
            with self._changed:
                for request in (self._current, self._request):
                    if request is not None:
                        request.finish(False, "The goal has ended.")
                self._collecting, self._on_call, self._current, self._request = False, False, None, None

    def _collected(self, goal: Any, feedback: Callable[[int], None]) -> tuple[str, list[TakenView]]:
        feedback(1)
        world, first = self._attempt(goal, "", [], self._now_ns(), ATTEMPT_S)
        views = [first]
        while len(views) < goal.request.views:
            feedback(len(views) + 1)
            take = self._when_still if goal.request.when_still else self._on_request
            views.append(take(goal, world, views))
            if views[-1].version != first.version:
                raise BinposeError(
                    "Another model was put in use between two views; send the goal again.", Reason.MODEL_MISMATCH
                )
        return world, views

    # --- One view -----------------------------------------------------------------------------------------------------

    def _when_still(self, goal: Any, world: str, views: Sequence[TakenView]) -> TakenView:
        return self._attempt(goal, world, views, self._now_ns(), self._node.settings.views.patience_s)[1]

    def _on_request(self, goal: Any, world: str, views: Sequence[TakenView]) -> TakenView:
        """The view that `~/next_view` asks for; one that cannot be taken is answered there, and may be asked again."""
        end_s = time.monotonic() + self._node.settings.views.patience_s
        while True:
            request = self._requested(goal, end_s, len(views) + 1)
            try:
                _, view = self._attempt(goal, world, views, request.asked_ns, ATTEMPT_S, give_up_on_same=True)
            except Cancelled:
                raise
            except BinposeError as error:
                self._expect_going(goal)
                request.finish(False, str(error))
                continue
            moved_m = motion(views[-1].T_world_cam, view.T_world_cam)[0]
            request.finish(
                True,
                f"View {len(views) + 1} of {goal.request.views} is taken, {moved_m * 1e3:.0f} mm from the one before.",
            )
            return view

    def _attempt(
        self,
        goal: Any,
        world: str,
        views: Sequence[TakenView],
        asked_ns: int,
        patience_s: float,
        give_up_on_same: bool = False,
    ) -> tuple[str, TakenView]:
        """The first image since `asked_ns` that is a new view, and the world's frame.

        The camera may move, or stand at an old place, for `patience_s`; any other reason may last for `ATTEMPT_S`.

        Raises:
            BinposeError: when there is none, with the reason of the last image.
        """
        since: dict[Reason, float] = {}
        while True:
            seen = self._next_frame(goal, asked_ns)
            asked_ns = seen.header.stamp_ns + 1
            try:
                seen.outcome.expect_processed()
                world = world or self._world(seen.frame.frame_id)
                return world, self._checked(seen, world, views)
            except BinposeError as error:
                now_s = time.monotonic()
                since = {error.reason: since.get(error.reason, now_s)}
                limit_s = patience_s if error.reason in MOTION else ATTEMPT_S
                if (error.reason is Reason.SAME_VIEW and give_up_on_same) or now_s - since[error.reason] >= limit_s:
                    number = f"View {len(views) + 1} of {goal.request.views} was not taken. "
                    raise BinposeError(number + str(error), error.reason) from error

    def _world(self, camera: str) -> str:
        settings = self._node.settings
        return settings.views.frame or settings.target_frame or self._transforms.root(camera)

    def _checked(self, seen: Any, world: str, views: Sequence[TakenView]) -> TakenView:
        """The view of a frame, if the camera stands still at a new place."""
        c, camera, stamp_ns = self._node.settings.views, seen.frame.frame_id, seen.header.stamp_ns
        T_world_cam = self._transforms.lookup(world, Header(stamp_ns, camera))
        before = self._transforms.lookup(world, Header(stamp_ns - round(c.still_s * NS_PER_S), camera))
        moved_m, turned_rad = motion(before, T_world_cam)
        if moved_m > c.still_m or turned_rad > c.still_rad:
            raise BinposeError(
                f"The camera moved {moved_m * 1e3:.1f} mm and {math.degrees(turned_rad):.2f} degrees in {c.still_s:g} s"
                "; expected it at rest; wait until the robot stands still, or raise views.still_m.",
                Reason.CAMERA_MOVES,
            )
        for number, view in enumerate(views, start=1):
            moved_m, turned_rad = motion(view.T_world_cam, T_world_cam)
            if moved_m < c.apart_m and turned_rad < c.apart_rad:
                raise BinposeError(
                    f"The camera is {moved_m * 1e3:.1f} mm from where it took view {number}; expected at least "
                    f"{c.apart_m * 1e3:g} mm or {math.degrees(c.apart_rad):.0f} degrees; move it.",
                    Reason.SAME_VIEW,
                )
        return TakenView(Header(stamp_ns, camera), seen.frame, seen.result, seen.outcome.version, T_world_cam)

    # --- Requests for a view ------------------------------------------------------------------------------------------

    def _requested(self, goal: Any, end_s: float, number: int) -> _Request:
        """The next call of `~/next_view`."""
        with self._changed:
            while self._request is None:
                self._expect_going(goal)
                if time.monotonic() > end_s:
                    raise BinposeError(
                        f"View {number} of {goal.request.views} was not asked for in "
                        f"{self._node.settings.views.patience_s:g} s; expected a call of ~/next_view when the camera "
                        "is at its new place.",
                        Reason.SAME_VIEW,
                    )
                self._changed.wait(STEP_S)
            self._current, self._request = self._request, None
            return self._current

    def _serve(self, request: Any, response: Any) -> Any:
        """Wait until the requested view is taken, or has failed."""
        own = _Request(self._now_ns())
        with self._changed:
            if not self._on_call:
                response.message = (
                    "No goal waits for a view; send one to ~/estimate_poses with views of 2 or more, and without "
                    "when_still."
                )
                return response
            self._request = own
            self._changed.notify_all()
        own.done.wait()
        response.success, response.message = own.taken, own.answer
        return response

    def _expect_going(self, goal: Any) -> None:
        if goal.is_cancel_requested:
            raise Cancelled("The request was cancelled.")
        if self._node.state != "active":
            raise BinposeError(f"The views were not taken. The node is {self._node.state} now.", Reason.NOT_ACTIVE)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def motion(T_world_a: FloatArray, T_world_b: FloatArray) -> tuple[float, float]:
    """Distance in metres and angle in radians between two poses (4, 4) of a camera."""
    T_a_b = inverse(T_world_a) @ T_world_b
    return float(np.linalg.norm(T_a_b[:3, 3])), float(np.linalg.norm(log_so3(T_a_b[:3, :3])))
