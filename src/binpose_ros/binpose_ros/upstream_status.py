"""What became of a frame in the stage before, where its results are empty."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.reasons import Reason
from binpose_ros.outcome import EarlierOutcomes, Outcome
from binpose_ros.results import STATUS
from binpose_ros.stamps import Header


class UpstreamStatus:
    """Subscribes to the status of the stage before.

    Args:
        node: that works on the results of that stage.
        topic: of its FrameStatus.
    """

    def __init__(self, node: Any, topic: str) -> None:
        self._node = node
        self.outcomes = EarlierOutcomes()
        self._subscription = node.create_subscription(
            node.types.FrameStatus,
            topic,
            self.outcomes.put,
            STATUS,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def pass_on(self, header: Header, default: Outcome, publish_empty: Callable[[Header, Outcome], None]) -> Outcome:
        """Publish empty results for an empty array of the stage before, for the reason that this stage had.

        Args:
            header: of the array.
            default: the outcome when the stage before publishes none.
            publish_empty: publishes the empty results.

        Raises:
            BinposeError: with that stage's reason, when it could not process the frame.
        """
        is_published = self._node.count_publishers(self._subscription.topic_name) > 0
        earlier = self.outcomes.of(header.stamp_ns) if is_published else None
        if earlier is None or earlier.expect_processed().reason is Reason.OK:
            earlier = default
        outcome = replace(earlier, reported=0, version="")
        publish_empty(header, outcome)
        return outcome
