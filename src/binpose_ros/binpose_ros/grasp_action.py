"""The action `~/stream_grasps`: ranked moveit_msgs/Grasp of an image, one per feedback, best first."""

from typing import Any

from binpose_core.base.errors import BinposeError, Cancelled
from binpose_ros.grasp_messages import GraspResult, GraspService
from binpose_ros.moveit_grasps import Fingers, moveit_grasp, moveit_types

NAME = "~/stream_grasps"
STEP_S = 0.2
LONGEST_S = 600.0
ABSENT = (
    "moveit_msgs is not installed or binpose_interfaces was built without it; expected both for ~/stream_grasps; "
    "install ros-jazzy-moveit-msgs and build binpose_interfaces again."
)


class GraspAction:
    """Offers the action where MoveIt's messages are installed.

    Args:
        node: with `settings.finger_joints`, `expect_active` and `state`.
        service: that holds the grasps of the last image.
    """

    def __init__(self, node: Any, service: GraspService) -> None:
        self._node, self._service, self._moveit = node, service, moveit_types()
        try:
            from binpose_interfaces.action import StreamGrasps
        except ImportError:
            self._moveit = None
        if self._moveit is None:
            node.get_logger().info(ABSENT)
            return
        from rclpy.action import ActionServer, CancelResponse
        from rclpy.callback_groups import ReentrantCallbackGroup

        self._kind = StreamGrasps
        self._server = ActionServer(
            node,
            StreamGrasps,
            NAME,
            self.execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def values(self) -> dict[str, str]:
        """For diagnostics: the action's name, or why there is none."""
        return {"moveit_action": ABSENT if self._moveit is None else NAME}

    def execute(self, goal: Any) -> Any:
        """Send the grasps of one image."""
        try:
            sent = self._sent(goal)
        except Cancelled as error:
            goal.canceled()
            return self._kind.Result(success=False, message=str(error), sent=0)
        except BinposeError as error:
            goal.abort()
            return self._kind.Result(success=False, message=str(error), sent=0)
        goal.succeed()
        return self._kind.Result(success=True, message="", sent=sent)

    def _sent(self, goal: Any) -> int:
        """Number of grasps that were sent.

        Raises:
            BinposeError: with the reason if there are none, or the request is refused.
        """
        self._node.expect_active()
        assert self._moveit is not None  # else there is no action
        if not 0 <= goal.request.timeout <= LONGEST_S:
            raise BinposeError(f"timeout is {goal.request.timeout:g} s; expected 0 to {LONGEST_S:g} s.")
        result = self._wait(goal)
        grasps = result.of(goal.request.object_ids, goal.request.max_grasps)
        fingers = Fingers(self._node.settings.finger_joints, self._node.settings.planner.gripper.clearance_m)
        for number, grasp in enumerate(grasps):
            if goal.is_cancel_requested:
                raise Cancelled(f"The request was cancelled after {number} grasps.")
            message = moveit_grasp(
                result.header, grasp, number, result.T_tcp_hand, fingers, self._node.types, self._moveit
            )
            goal.publish_feedback(self._kind.Feedback(number=number, grasp=message))
        return len(grasps)

    def _wait(self, goal: Any) -> GraspResult:
        """The first result with wanted grasps."""
        waited_s, request = 0.0, goal.request
        while True:
            result = self._service.last
            if result is not None and result.of(request.object_ids):
                return result
            if goal.is_cancel_requested:
                raise Cancelled("The request was cancelled.")
            if waited_s >= request.timeout:
                raise BinposeError(self._service.why_not(request.object_ids))
            self._service.wait(STEP_S)
            waited_s += STEP_S
