"""The action `~/estimate_poses`: the poses in the next image, once."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from binpose_core.errors import BinposeError
from binpose_core.objects import ObjectModel
from binpose_core.types import PoseEstimate
from binpose_ros.poses import write_poses
from binpose_ros.stamps import Header

PATIENCE_S = 30.0
STEP_S = 0.2
MOST_WAITING = 2  # each takes one of the executor's threads, see running.THREADS


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame; `poses` also holds those below the node's threshold, best first."""

    header: Header
    poses: Sequence[PoseEstimate] = ()
    objects: Mapping[str, ObjectModel] = field(default_factory=dict)
    version: str = ""
    reason: str = ""


class EstimateAction:
    """Waits for a frame that was taken after the request, and answers with its poses."""

    def __init__(self, node: Any) -> None:
        from binpose_interfaces.action import EstimatePoses
        from rclpy.action import ActionServer, CancelResponse
        from rclpy.callback_groups import ReentrantCallbackGroup

        self._node, self._kind = node, EstimatePoses
        self._changed = threading.Condition()
        self._waiting = self._number = 0
        self._newest = FrameResult(Header(0, ""))
        self._server = ActionServer(
            node,
            EstimatePoses,
            "~/estimate_poses",
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def tell(self, result: FrameResult) -> None:
        """Take what became of a frame."""
        with self._changed:
            self._newest, self._number = result, self._number + 1
            self._changed.notify_all()

    def _execute(self, goal: Any) -> Any:
        try:
            self._check(goal.request)
            with self._changed:
                if self._waiting >= MOST_WAITING:
                    raise BinposeError(
                        f"{MOST_WAITING} requests wait for an image already; expected fewer; ask when one is answered."
                    )
                self._waiting += 1
        except BinposeError as error:
            goal.abort()
            return self._kind.Result(success=False, message=str(error))
        try:
            return self._executed(goal)
        finally:
            with self._changed:
                self._waiting -= 1

    def _check(self, request: Any) -> None:
        """Refuse a request that no frame can answer.

        Raises:
            BinposeError: naming what is wrong with it.
        """
        self._node.expect_active()
        known = self._node.models.find("").objects
        if unknown := [name for name in request.object_ids if name not in known]:
            raise BinposeError(f"object_ids names {', '.join(unknown)}; expected some of {', '.join(known)}.")
        if math.isnan(request.min_score):
            raise BinposeError("min_score is NaN; expected 0 to 1, or 0 for the node's own threshold.")

    def _executed(self, goal: Any) -> Any:
        goal.publish_feedback(self._kind.Feedback(stage="waiting for an image"))
        asked_ns = self._node.get_clock().now().nanoseconds
        result = self._next(goal, asked_ns)
        if goal.is_cancel_requested:
            goal.canceled()
            return self._kind.Result(success=False, message="The request was cancelled.")
        if result is None:
            goal.abort()
            node = self._node
            why = node.monitor.told(node.state) if node.state == "active" else f"The node is {node.state} now."
            return self._kind.Result(success=False, message=f"No frame was processed. {why}".strip())
        goal.succeed()
        return self._answer(goal.request, result)

    def _next(self, goal: Any, asked_ns: int) -> FrameResult | None:
        """The first result of a frame taken after the request; the second one where the camera has another clock."""
        with self._changed:
            first, waited_s = self._number, 0.0
            while waited_s < PATIENCE_S and not goal.is_cancel_requested and self._node.state == "active":
                self._changed.wait(STEP_S)
                waited_s += STEP_S
                new = self._number - first
                if new and (self._newest.header.stamp_ns >= asked_ns or new >= 2):
                    return self._newest
        return None

    def _answer(self, request: Any, result: FrameResult) -> Any:
        from rclpy.serialization import deserialize_message

        least = request.min_score or self._node.settings.threshold
        wanted = set(request.object_ids)
        poses = [p for p in result.poses if p.score >= least and (not wanted or p.object_id in wanted)]
        message = result.reason or ("" if poses else "No pose reached the score.")
        data = write_poses(poses, result.objects, result.header, result.version)
        array = deserialize_message(data, self._node.types.Detection3DArray)
        return self._kind.Result(success=True, message=message, poses=array, model_version=result.version)
