"""A thread that takes serialized messages as they come.

With every message that rclpy's executor hands over it gathers all that a node waits for anew, services, timers and
events; with three images to a frame that takes longer than the frame's conversion. Here only the inputs are waited for.
"""

import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.subscription import Subscription

LOOK_S = 0.5  # how often it is looked whether the process ends


class AsideGroup(CallbackGroup):
    """Its subscriptions are left to a `Listener`; the executor handles what else is in it."""

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, entity: Any) -> bool:
        """Whether the executor may, now that it would."""
        return self.can_execute(entity)

    def ending_execution(self, entity: Any) -> None:
        """Nothing to be done."""


class Listener:
    """Calls back with the serialized messages of subscriptions, one at a time.

    Args:
        node: that logs what a callback raises.
        callbacks: by subscription; each is in an `AsideGroup`, and raw.
    """

    def __init__(self, node: Any, callbacks: Mapping[Any, Callable[[bytes], None]]) -> None:
        self._node, self._callbacks = node, dict(callbacks)
        self._closed = False
        self._wake = GuardCondition(callback=None, callback_group=None, context=node.context)
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; the callback under way is waited for."""
        self._closed = True
        self._wake.trigger()
        self._thread.join()
        self._wake.destroy()

    def _listen(self) -> None:
        context = self._node.context
        wait_set = rclpy_implementation.WaitSet(len(self._callbacks), 1, 0, 0, 0, 0, context.handle)
        while not self._closed and context.ok():
            wait_set.clear_entities()
            for subscription in self._callbacks:
                wait_set.add_subscription(subscription.handle)
            wait_set.add_guard_condition(self._wake.handle)
            wait_set.wait(round(LOOK_S * 1e9))
            ready = wait_set.get_ready_entities("subscription")
            for subscription, callback in self._callbacks.items():
                if subscription.handle.pointer in ready:
                    self._take(subscription, callback)

    def _take(self, subscription: Any, callback: Callable[[bytes], None]) -> None:
        try:
            taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is not None:
                callback(taken[0])
        except Exception:  # One message that fails does not end the node.
            self._node.get_logger().error(traceback.format_exc())
