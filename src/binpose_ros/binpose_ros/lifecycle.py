"""A lifecycle node that logs why a transition failed, and refuses one which its state does not allow."""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason

Node = TypeVar("Node", bound="ManagedNode")
Transition = Callable[[Node, LifecycleState], TransitionCallbackReturn]


class ManagedNode(LifecycleNode):
    """A lifecycle node.

    In rclpy the service `change_state` raises for a transition that the state does not allow, which ends the executor
    and leaves the client without an answer. The service's callback has a private name, hence the method's.

    refusal: why the last transition failed; empty once one succeeded.
    """

    refusal: str = ""

    def refused(self, reason: str) -> None:
        """Take why a transition failed: it is logged, and in `refusal` until one succeeds."""
        self.refusal = reason
        self.get_logger().error(reason)

    def create_steady_timer(self, period_s: float, callback: Callable[[], None], group: Any) -> Any:
        """A timer that also runs while the node's clock, that of a simulation, stands still."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        return self.create_timer(period_s, callback, callback_group=group, clock=steady)

    def describe_error(self, what: str, error: Exception) -> str:
        """Log where an error came from, and give the sentence that tells of it: the BinposeError's own, or that it is
        the program's; call it while the error is handled.
        """
        if isinstance(error, BinposeError):
            return str(error)
        self.get_logger().error(traceback.format_exc())
        return f"{what} failed with {error!r}; this is a mistake in the program; the log tells where."

    @property
    def state(self) -> str:
        """The lifecycle's state: unconfigured, inactive, active, finalized."""
        return str(self._state_machine.current_state[1])

    def expect_active(self) -> None:
        """Refuse what only an active node can do.

        Raises:
            BinposeError: with the state.
        """
        if self.state != "active":
            raise BinposeError(f"The node is {self.state}; expected active; activate it first.", Reason.NOT_ACTIVE)

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        before = self.state
        try:
            return LifecycleNodeMixin._LifecycleNodeMixin__on_change_state(self, request, response)
        except Exception as error:
            self.get_logger().error(f"Transition {request.transition.id} from {before} is refused: {error}")
            response.success = False
            return response


def guarded(transition: Transition[Node]) -> Transition[Node]:
    """A transition that fails with a reason when it raises; rclpy would drop the error without a word.

    Where ROS was shut down meanwhile, that is the reason of whatever fails, and whoever ended the process knows it.
    """

    @wraps(transition)
    def run(node: Node, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            result = transition(node, state)
        except Exception as error:
            if node.context.ok():
                node.refused(node.describe_error(f"The transition {transition.__name__.removeprefix('on_')}", error))
            return TransitionCallbackReturn.FAILURE
        if result == TransitionCallbackReturn.SUCCESS:
            node.refusal = ""
        return result

    return run
