"""The action `~/estimate_poses`: the poses in the next image, or in several views of one bin, once."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError, Cancelled, UnknownObject
from binpose_core.base.reasons import Reason
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.objects import ObjectModel
from binpose_ros.node_checks import clock_mismatch
from binpose_ros.outcome import Outcome
from binpose_ros.poses import from_matrices, write_poses
from binpose_ros.problems import Problem, message_of
from binpose_ros.several_views import MOST_VIEWS, JoinedViews, JoinTaken, TakenView, ViewCollector
from binpose_ros.stamps import Header, to_header

PATIENCE_S = 30.0
STEP_S = 0.2
MOST_WAITING = 2  # each takes one of the executor's threads, see running.THREADS
CLOCKS = (Reason.NO_CLOCK, Reason.CLOCK_MISMATCH)


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame.

    poses: also those below the node's threshold, best first, in the frame of the header.
    frame, result: the images and what the stage made of them, for nodes that join views.
    """

    header: Header
    outcome: Outcome
    poses: Sequence[PoseEstimate] = ()
    objects: Mapping[str, ObjectModel] = field(default_factory=dict)
    frame: RgbdFrame | None = None
    result: Any = None


class EstimateAction:
    """Waits for a frame that was taken after the request, and answers with its poses.

    Args:
        node: with `models`, `monitor` and `diagnostics`.
        join: estimates several views together; goals with several views are refused without it.
    """

    def __init__(self, node: Any, join: JoinTaken | None = None) -> None:
        from binpose_interfaces.action import EstimatePoses
        from rclpy.action import ActionServer, CancelResponse
        from rclpy.callback_groups import ReentrantCallbackGroup

        self._node, self._kind = node, EstimatePoses
        self._changed = threading.Condition()
        self._waiting = self._number = 0
        self._newest = FrameResult(Header(0, ""), Outcome())
        self._join = join
        self._collector = None if join is None else ViewCollector(node, node.transforms, self._next)
        self._server = ActionServer(
            node,
            EstimatePoses,
            "~/estimate_poses",
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def put(self, result: FrameResult) -> None:
        """Take what became of a frame."""
        with self._changed:
            self._newest, self._number = result, self._number + 1
            self._changed.notify_all()

    def _execute(self, goal: Any) -> Any:
        try:
            self._check(goal.request)
            self._enter()
        except BinposeError as error:
            return self._failed(goal, error)
        try:
            return self._executed(goal)
        except BinposeError as error:
            return self._failed(goal, error)
        finally:
            with self._changed:
                self._waiting -= 1

    def _failed(self, goal: Any, error: BinposeError) -> Any:
        if isinstance(error, Cancelled):
            goal.canceled()
        else:
            goal.abort()
        return self._kind.Result(success=False, code=error.reason.code, message=str(error))

    def _enter(self) -> None:
        with self._changed:
            if self._waiting >= MOST_WAITING:
                raise BinposeError(
                    f"{MOST_WAITING} requests wait for an image already; expected fewer; send the goal again when one "
                    "is finished.",
                    Reason.BUSY,
                )
            self._waiting += 1

    def _check(self, request: Any) -> None:
        """Refuse a request that no frame can answer.

        Raises:
            BinposeError: naming what is wrong with it.
        """
        self._node.expect_active()
        known = self._node.models.find().objects
        if unknown := [name for name in request.object_ids if name not in known]:
            raise UnknownObject(
                f"object_ids names {', '.join(unknown)}; expected some of {', '.join(known)}.",
                unknown,
                known,
                Reason.BAD_REQUEST,
            )
        if math.isnan(request.min_score):
            sentence = "min_score is NaN; expected 0 to 1, or 0 for the node's own threshold."
            raise BinposeError(sentence, Reason.BAD_REQUEST)
        if request.views > 1 and self._join is None:
            sentence = f"views is {request.views}; only the node bin_picking joins views, expected 0 or 1 here."
            raise BinposeError(sentence, Reason.BAD_REQUEST)
        if request.views > MOST_VIEWS:
            sentence = f"views is {request.views}; expected at most {MOST_VIEWS}."
            raise BinposeError(sentence, Reason.BAD_REQUEST)
        self._check_clock(self._node.diagnostics.clock_problems())

    def _check_clock(self, problems: Sequence[Problem]) -> None:
        """Refuse to wait where it cannot be known which image was taken after the request."""
        for problem in problems:
            if problem.reason in CLOCKS:
                raise BinposeError(problem.message, problem.reason)

    def _executed(self, goal: Any) -> Any:
        if goal.request.views > 1 and self._collector is not None and self._join is not None:
            return self._several(goal, self._collector, self._join)
        goal.publish_feedback(self._kind.Feedback(stage="waiting for an image"))
        result = self._next(goal, self._node.get_clock().now().nanoseconds)
        outcome = result.outcome.expect_processed()
        goal.succeed()
        return self._answer(goal.request, result, outcome)

    def _next(self, goal: Any, asked_ns: int) -> FrameResult:
        """The first result of a frame taken after the request; the second one where the clocks differ a little.

        Raises:
            BinposeError: when there is none, with the reason.
        """
        with self._changed:
            first, waited_s = self._number, 0.0
            while waited_s < PATIENCE_S and not goal.is_cancel_requested and self._node.state == "active":
                self._changed.wait(STEP_S)
                waited_s += STEP_S
                self._check_clock(clock_mismatch(self._node.monitor.age_s))
                new = self._number - first
                if new and (self._newest.header.stamp_ns >= asked_ns or new >= 2):
                    return self._newest
        if goal.is_cancel_requested:
            raise Cancelled("The request was cancelled.")
        if self._node.state != "active":
            raise BinposeError(f"No frame was processed. The node is {self._node.state} now.", Reason.NOT_ACTIVE)
        problems = self._node.diagnostics.problems()
        reason = problems[0].reason if problems else Reason.NO_FRAME
        raise BinposeError(f"No frame was processed. {message_of(problems)}".strip(), reason)

    def _several(self, goal: Any, collector: ViewCollector, join: JoinTaken) -> Any:
        """The answer from several views, in the frame that rests with the bin."""
        count = goal.request.views

        def feedback(number: int) -> None:
            goal.publish_feedback(self._kind.Feedback(stage=f"waiting for view {number} of {count}", view=number))

        world, views = collector.collect(goal, feedback)
        goal.publish_feedback(self._kind.Feedback(stage=f"estimating {count} views together", view=count))
        joined, version = join(views), views[0].version
        outcome = Outcome(version=version)
        if not joined.poses:
            outcome = Outcome(Reason.NO_PARTS, f"No part was found in {count} views.", version=version)
        objects = self._node.models.find(version).objects
        result = FrameResult(Header(views[-1].header.stamp_ns, world), outcome, joined.poses, objects)
        answer = self._answer(goal.request, result, outcome)
        if not all(joined.together):
            answer.code, answer.message = Reason.VIEWS_DIFFER.code, joined.notes[0]
        answer.verdict = " ".join(joined.notes)
        answer.view_results = self._views(views, joined)
        goal.succeed()
        return answer

    def _views(self, views: Sequence[TakenView], joined: JoinedViews) -> list[Any]:
        from binpose_interfaces.msg import View

        types = self._node.types
        cameras = from_matrices(np.stack(joined.T_world_cam), types)
        return [
            View(header=to_header(view.header, types), camera=camera, residual=float(residual), together=bool(together))
            for view, camera, residual, together in zip(views, cameras, joined.residual_m, joined.together, strict=True)
        ]

    def _answer(self, request: Any, result: FrameResult, outcome: Outcome) -> Any:
        from rclpy.serialization import deserialize_message

        least = request.min_score or self._node.settings.threshold
        wanted = set(request.object_ids)
        poses = [p for p in result.poses if p.score >= least and (not wanted or p.object_id in wanted)]
        unreported = outcome.reason is not Reason.OK and least >= self._node.settings.threshold
        if poses:
            reason, message = Reason.OK, ""
        elif unreported or not result.poses:
            reason, message = outcome.reason, outcome.message
        else:
            reason, message = Reason.BELOW_THRESHOLD, "No pose reached the score."
        data = write_poses(poses, result.objects, result.header, outcome.version)
        array = deserialize_message(data, self._node.types.Detection3DArray)
        return self._kind.Result(
            success=True, code=reason.code, message=message, poses=array, model_version=outcome.version
        )
