"""The action `~/self_train`: a request that takes its time, with feedback and cancellation."""

from collections.abc import Callable, Mapping
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason

Feedback = Callable[[Mapping[str, Any]], None]
Train = Callable[[Any, Feedback, Callable[[], bool]], Mapping[str, Any]]
"""Takes the request, what publishes the fields of a feedback, and whether it is cancelled; the fields of the result."""


class SelfTrainAction:
    """Offers the action.

    Args:
        node: a `ManagedNode`.
        train: does it; called in a thread of the executor, also while another goal is under way.
    """

    def __init__(self, node: Any, train: Train) -> None:
        from binpose_interfaces.action import SelfTrain
        from rclpy.action import ActionServer, CancelResponse
        from rclpy.callback_groups import ReentrantCallbackGroup

        self._node, self._kind, self._train = node, SelfTrain, train
        self._server = ActionServer(
            node,
            SelfTrain,
            "~/self_train",
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def _execute(self, goal: Any) -> Any:
        def publish(fields: Mapping[str, Any]) -> None:
            if self._node.context.ok():
                goal.publish_feedback(self._kind.Feedback(**fields))

        try:
            result = self._train(goal.request, publish, lambda: bool(goal.is_cancel_requested))
        except Exception as error:  # Without a result the client would wait for ever.
            reason = error.reason if isinstance(error, BinposeError) else Reason.INTERNAL_ERROR
            sentence = self._node.describe_error("The self-training", error)
            result = {"success": False, "code": reason.code, "message": sentence}
        if self._node.context.ok():
            self._end(goal, result)
        return self._kind.Result(**result)

    def _end(self, goal: Any, result: Mapping[str, Any]) -> None:
        log = self._node.get_logger()
        if result["success"]:
            goal.succeed()
            log.info(result["message"])
            return
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        log.warning(result["message"])  # rclpy refuses two severities in one line
