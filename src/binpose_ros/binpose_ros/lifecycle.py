"""A lifecycle node composed of parts that take part in its transitions; why one failed is logged."""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_ros.message_types import RosTypes, ros_types
from binpose_ros.parameters import Parameters

Node = TypeVar("Node", bound="ManagedNode")
Transition = Callable[[Node, LifecycleState], TransitionCallbackReturn]


class LifecyclePart:
    """A part of a node; it overrides the transitions in which it does something.

    What `configure` or `activate` raise fails the transition. `deactivate` and `cleanup` may be called in any state.
    """

    def configure(self) -> None:
        """Load what is needed."""

    def activate(self) -> None:
        """Begin to work; publishers are active."""

    def deactivate(self) -> None:
        """End the work."""

    def cleanup(self) -> None:
        """Release what `configure` loaded."""


def guarded(transition: Transition[Node]) -> Transition[Node]:
    """A transition that fails with a reason when it raises; rclpy would drop the error silently.

    Nothing is logged when ROS was shut down meanwhile: that is the cause of whatever fails.
    """

    @wraps(transition)
    def run(node: Node, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            result = transition(node, state)
        except Exception as error:
            if node.context.ok():
                node.refuse(node.describe_error(f"The transition {transition.__name__.removeprefix('on_')}", error))
            return TransitionCallbackReturn.FAILURE
        if result == TransitionCallbackReturn.SUCCESS:
            node.refusal = ""
        return result

    return run


class ManagedNode(LifecycleNode):
    """A lifecycle node.

    In rclpy the service `change_state` raises for a transition that the state does not allow, which ends the executor
    and leaves the client without an answer. The service's callback has a private name, hence the method's.

    parts: configured and activated in this order, deactivated and cleaned up in the reverse order.
    parameters: declared by the node.
    refusal: why the last transition failed; empty after one that succeeded.
    patience_s: longest time that callbacks get to finish when the process ends; None = as long as they take.
    """

    parts: tuple[LifecyclePart, ...] = ()
    patience_s: float | None = None
    parameters: Parameters[Any]
    refusal: str = ""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.types: RosTypes = ros_types()

    @property
    def settings(self) -> Any:
        """The current values of the parameters."""
        return self.parameters.settings

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

    # --- Transitions --------------------------------------------------------------------------------------------------

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure the parts."""
        try:
            for part in self.parts:
                part.configure()
        except Exception:
            self._clean_up()
            raise
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate the publishers, then the parts."""
        result = super().on_activate(state)
        try:
            for part in self.parts:
                part.activate()
        except Exception:
            self.close()
            super().on_deactivate(state)
            raise
        return result

    @guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate the parts, then the publishers."""
        self.close()
        return super().on_deactivate(state)

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clean the parts up."""
        self._clean_up()
        return super().on_cleanup(state)

    @guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate the parts."""
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Deactivate the parts in any state."""
        for part in reversed(self.parts):
            part.deactivate()

    def _clean_up(self) -> None:
        for part in reversed(self.parts):
            part.cleanup()

    def refuse(self, reason: str) -> None:
        """Log why a transition failed, and keep it in `refusal` until one succeeds."""
        self.refusal = reason
        self.get_logger().error(reason)

    def describe_error(self, what: str, error: Exception) -> str:
        """The sentence of a BinposeError; of any other error its name, with the traceback in the log.

        Call it while the error is handled.
        """
        if isinstance(error, BinposeError):
            return str(error)
        self.get_logger().error(traceback.format_exc())
        return f"{what} failed with {error!r}; this is an error in the program; the log has its traceback."

    # --- For the parts ------------------------------------------------------------------------------------------------

    def output(self, kind: str, topic: str, qos: QoSProfile | None = None) -> Any:
        """A reliable publisher that publishes only while the node is active."""
        return self.create_lifecycle_publisher(
            getattr(self.types, kind),
            topic,
            qos or QoSProfile(depth=5),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def destroy_outputs(self) -> None:
        """Destroy all publishers that `output` made."""
        for publisher in [entity for entity in self._managed_entities if hasattr(entity, "topic_name")]:
            self.destroy_lifecycle_publisher(publisher)

    def create_steady_timer(self, period_s: float, callback: Callable[[], None], group: Any) -> Any:
        """A timer that also runs while the node's clock, that of a simulation, stands still."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        return self.create_timer(period_s, callback, callback_group=group, clock=steady)

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        before = self.state
        try:
            return LifecycleNodeMixin._LifecycleNodeMixin__on_change_state(self, request, response)
        except Exception as error:
            self.get_logger().error(f"Transition {request.transition.id} from {before} is refused: {error}")
            response.success = False
            return response
