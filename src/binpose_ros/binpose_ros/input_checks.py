"""What is wrong with the publishers of a node's inputs, as the graph shows them now."""

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rclpy.qos import QoSCompatibility, qos_check_compatible

from binpose_core.base.reasons import Reason
from binpose_ros.compressed import COMPRESSED, COMPRESSED_DEPTH, transport_topic
from binpose_ros.message_types import PACKAGE_OF
from binpose_ros.monitor import SILENT_S
from binpose_ros.problems import Problem

IMAGE_KINDS = ("Image", "CompressedImage")
_ALONE = {Reason.WRONG_TYPE, Reason.QOS_MISMATCH}  # explain why nothing arrives


class Arrivals:
    """When a message arrived last on each topic.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last_s = clock, dict[str, float]()

    def put(self, topic: str) -> None:
        """Take that a message arrived."""
        self._last_s[topic] = self._clock()

    def within(self, topic: str, seconds: float) -> bool:
        """Whether one arrived within the last seconds."""
        return self._clock() - self._last_s.get(topic, -math.inf) <= seconds


def full_type(kind: str) -> str:
    """The type of a topic by the short name of its message class."""
    return f"{PACKAGE_OF[kind]}/msg/{kind}"


def published_image_kind(node: Any, topic: str) -> str | None:
    """The short name of the image type that is published on a topic; None for none, several, or another type."""
    published = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    kinds = [kind for kind in IMAGE_KINDS if full_type(kind) in published]
    return kinds[0] if len(published) == len(kinds) == 1 else None


def publisher_problems(node: Any, subscription: Any) -> list[Problem]:
    """What is wrong with the publishers of a topic, whether or not messages arrive: their number, type and QoS."""
    name, expected = subscription.topic_name, _type_of(subscription)
    publishers = node.get_publishers_info_by_topic(name)
    found = []
    if wrong := sorted({info.topic_type for info in publishers} - {expected}):
        found.append(
            Problem(
                Reason.WRONG_TYPE,
                f"{name} is published as {', '.join(wrong)}; expected {expected}; remap the input to a topic of this "
                "type.",
                name,
            )
        )
    if len(publishers) > 1:
        nodes = ", ".join(sorted(_full_name(info) for info in publishers))
        found.append(
            Problem(
                Reason.SEVERAL_PUBLISHERS,
                f"{name} has {len(publishers)} publishers ({nodes}); expected one; stop the others, or remap it.",
                name,
            )
        )
    return found + _qos_problems(name, publishers, subscription.qos_profile)


def _qos_problems(name: str, publishers: Collection[Any], requested: Any) -> list[Problem]:
    for info in publishers:
        fits, why = qos_check_compatible(info.qos_profile, requested)
        if fits == QoSCompatibility.ERROR:
            sentence = f"A publisher of {name} offers another QoS ({why.strip(' ;')}); set qos_overrides of this topic."
            return [Problem(Reason.QOS_MISMATCH, sentence, name)]
    return []


def no_frame_problems(node: Any, silent: Mapping[str, Any], images: Collection[str]) -> list[Problem]:
    """Why nothing arrives on topics, and that therefore no frame is complete.

    Args:
        node: that subscribes.
        silent: subscriptions by relative topic, of those on which nothing arrives.
        images: relative topics of the images whose camera info arrives.
    """
    unexplained = {
        topic: subscription
        for topic, subscription in silent.items()
        if not _ALONE & {problem.reason for problem in publisher_problems(node, subscription)}
    }
    found = [_silence(node, subscription, topic in images) for topic, subscription in unexplained.items()]
    if silent:
        general = f"No complete frame for {SILENT_S:g} s; check the camera and the topics' names."
        found.append(Problem(Reason.NO_FRAME, general))
    return found


def _silence(node: Any, subscription: Any, has_info: bool) -> Problem:
    name = subscription.topic_name
    if not node.get_publishers_info_by_topic(name):
        return Problem(Reason.NO_PUBLISHER, f"{name} has no publisher{_other_transport(node, name)}.", name)
    if has_info:
        sentence = (
            f"Nothing came on {name}, but camera info arrives: the images are too large for the transport, or not "
            "published; use the middleware profile of docs/ros.md, or check the camera's driver."
        )
        return Problem(Reason.IMAGE_TOO_LARGE, sentence, name)
    return Problem(Reason.NO_FRAME, f"Nothing came on {name}.", name)


def _other_transport(node: Any, name: str) -> str:
    """Where the images are published instead, as the end of a sentence."""
    base = next(
        (name.removesuffix(f"/{t}") for t in (COMPRESSED, COMPRESSED_DEPTH) if name.endswith(f"/{t}")),
        name,
    )
    others = [base, *(transport_topic(base, transport) for transport in (COMPRESSED, COMPRESSED_DEPTH))]
    there = [other for other in others if other != name and published_image_kind(node, other)]
    return f", but {' and '.join(there)} has one; set color_transport or depth_transport" if there else ""


def _type_of(subscription: Any) -> str:
    return full_type(subscription.msg_type.__name__)


def _full_name(info: Any) -> str:
    """The name of a publisher's node; a middleware may learn it a moment after it learns of the publisher."""
    is_known = not info.node_name.startswith("_NODE_NAME_UNKNOWN")
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}" if is_known else "a node that starts or ends"
