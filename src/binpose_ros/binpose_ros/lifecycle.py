"""A lifecycle node that refuses a transition which its state does not allow, instead of ending its process."""

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.node import LifecycleNodeMixin


class ManagedNode(LifecycleNode):
    """A lifecycle node.

    In rclpy the service `change_state` raises for a transition that the state does not allow, which ends the executor
    and leaves the client without an answer. The service's callback has a private name, hence the method's.
    """

    @property
    def state(self) -> str:
        """The lifecycle's state: unconfigured, inactive, active, finalized."""
        return str(self._state_machine.current_state[1])

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        before = self.state
        try:
            return LifecycleNodeMixin._LifecycleNodeMixin__on_change_state(self, request, response)
        except Exception as error:
            self.get_logger().error(f"Transition {request.transition.id} from {before} is refused: {error}")
            response.success = False
            return response
