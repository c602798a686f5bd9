"""The publishers of a node's results, and of what became of each frame."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from binpose_ros.lifecycle import LifecyclePart
from binpose_ros.outcome import Outcome, from_outcome
from binpose_ros.stamps import Header

Outputs = TypeVar("Outputs")
STATUS = QoSProfile(depth=10, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Results(LifecyclePart, Generic[Outputs]):
    """The publishers, which exist while the node is configured.

    Args:
        node: that publishes.
        make: makes the publishers of results, with the node's `output`.
        prefixes: of the topics; each has a `status`.

    outputs: what `make` made.
    """

    outputs: Outputs

    def __init__(self, node: Any, make: Callable[[], Outputs], prefixes: tuple[str, ...] = ("~/",)) -> None:
        self._node, self._make, self._prefixes = node, make, prefixes
        self._statuses: list[Any] = []

    def configure(self) -> None:
        """Create the publishers."""
        self._statuses = [self._node.output("FrameStatus", f"{prefix}status", STATUS) for prefix in self._prefixes]
        self.outputs = self._make()

    def cleanup(self) -> None:
        """Destroy the publishers."""
        self._statuses = []
        self._node.destroy_outputs()

    def publish_status(self, outcome: Outcome, header: Header) -> None:
        """Publish what became of a frame."""
        status = from_outcome(outcome, header, self._node.get_fully_qualified_name(), self._node.types)
        for publisher in self._statuses:
            publisher.publish(status)
