"""A thread that takes serialized messages as they arrive.

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

CHECK_S = 0.5  # how often the thread checks whether the process ends
Callbacks = Mapping[Any, Callable[[bytes], None]]


class OutsideExecutorGroup(CallbackGroup):
    """Its subscriptions belong to a `SubscriptionThread`; the executor handles what else is in it."""

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, entity: Any) -> bool:
        """Whether the executor may, now that it would."""
        return self.can_execute(entity)

    def ending_execution(self, entity: Any) -> None:
        """Nothing to be done."""


class SubscriptionThread:
    """Calls back with the serialized messages of subscriptions, one at a time.

    Args:
        node: that logs what a callback raises.
        callbacks: by subscription; each is in an `OutsideExecutorGroup`, and raw.
    """

    def __init__(self, node: Any, callbacks: Callbacks) -> None:
        self._node = node
        self._next = (dict(callbacks), threading.Event())
        self._closed = False
        self._wake = GuardCondition(callback=None, callback_group=None, context=node.context)
        self._thread = threading.Thread(target=self._run, name="subscriptions", daemon=True)
        self._thread.start()

    def replace(self, callbacks: Callbacks) -> None:
        """Take other subscriptions from now on; the earlier ones may be destroyed afterwards."""
        adopted = threading.Event()
        self._next = (dict(callbacks), adopted)
        self._wake.trigger()
        while not adopted.wait(CHECK_S) and self._thread.is_alive():
            pass

    def close(self) -> None:
        """End the thread; waits for the current callback."""
        self._closed = True
        self._wake.trigger()
        self._thread.join()
        self._wake.destroy()

    def _run(self) -> None:
        context = self._node.context
        while not self._closed and context.ok():
            callbacks, adopted = self._next
            adopted.set()
            wait_set = rclpy_implementation.WaitSet(len(callbacks), 1, 0, 0, 0, 0, context.handle)
            while not self._closed and context.ok() and self._next[0] is callbacks:
                self._wait(wait_set, callbacks)

    def _wait(self, wait_set: Any, callbacks: Callbacks) -> None:
        wait_set.clear_entities()
        for subscription in callbacks:
            wait_set.add_subscription(subscription.handle)
        wait_set.add_guard_condition(self._wake.handle)
        wait_set.wait(round(CHECK_S * 1e9))
        ready = wait_set.get_ready_entities("subscription")
        for subscription, callback in callbacks.items():
            if subscription.handle.pointer in ready:
                self._take(subscription, callback)

    def _take(self, subscription: Any, callback: Callable[[bytes], None]) -> None:
        try:
            taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is not None:
                callback(taken[0])
        except Exception:  # One message that fails does not end the node.
            self._node.get_logger().error(traceback.format_exc())
