"""Subscriptions whose messages are put together by stamp and read only when they are worked on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_ros.camera_topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from binpose_ros.compressed import RAW, decompress, transport_topic
from binpose_ros.exact_time import ExactTime, MessageSet
from binpose_ros.input_checks import (
    Arrivals,
    no_frame_problems,
    published_image_kind,
    publisher_problems,
)
from binpose_ros.mailbox import Mailbox
from binpose_ros.monitor import SILENT_S, Monitor
from binpose_ros.outcome import Outcome
from binpose_ros.problems import Problem
from binpose_ros.ros_packages import message_filters
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import NS_PER_S
from binpose_ros.subscription_thread import OutsideExecutorGroup, SubscriptionThread
from binpose_ros.synchronizer import StampSynchronizer

Match = dict[str, Any]
BYTES_PER_MB = 1e6
IMAGE, COMPRESSED_IMAGE = "Image", "CompressedImage"


@dataclass(frozen=True)
class Input:
    """A topic that a stage needs.

    topic: relative name.
    kind: the message class' short name, see `message_types.PACKAGES`.
    role: the reference names the frames; the others have its stamp, are near it, or the latest one counts.
    camera: from a camera: sensor-data QoS; else reliable.
    transport: name of the setting that says how the images of this topic are compressed; empty for other topics.
    """

    topic: str
    kind: str
    role: Literal["reference", "same", "near", "latest"]
    camera: bool = True
    transport: str = ""


COLOR = Input(COLOR_TOPIC, IMAGE, "same", transport="color_transport")
DEPTH = Input(DEPTH_TOPIC, IMAGE, "near", transport="depth_transport")
INFO = Input(INFO_TOPIC, "CameraInfo", "latest")


class CompressedBytes(bytes):
    """A serialized sensor_msgs/CompressedImage; any other bytes are of the kind that the input names."""


class Inputs:
    """Subscribes to a stage's topics and leaves complete frames, still serialized, in a mailbox.

    Args:
        node: that subscribes.
        inputs: its topics, one of them the reference.
        settings: slop, number of held messages and transports.
        box: where frames are left.
        monitor: takes what arrives and what cannot be read.
        types: message classes.
    """

    def __init__(
        self,
        node: Any,
        inputs: Sequence[Input],
        settings: StageSettings,
        box: Mailbox[Match],
        monitor: Monitor,
        types: Any,
    ) -> None:
        self._node, self._box, self._monitor, self._types = node, box, monitor, types
        self._entries = {entry.topic: entry for entry in inputs}
        self._latest: dict[str, bytes] = {}
        (self._reference,) = (entry.topic for entry in inputs if entry.role == "reference")
        self._exact = self._exact_time(inputs, settings)
        slop_ns = round(settings.slop_s * NS_PER_S)
        partners = [e for e in inputs if e.role in ("near", "same") and not (self._exact and self._is_exact(e))]
        slops = {entry.topic: slop_ns * (entry.role == "near") for entry in partners}
        self._near = [entry.topic for entry in inputs if entry.role == "near"]
        self._synchronizer = StampSynchronizer(
            self._reference, slops, monitor.counts, settings.keep, settings.keep_mb * BYTES_PER_MB
        )
        self._arrivals = Arrivals()
        self._group = OutsideExecutorGroup()
        self._names = {entry.topic: self._name(entry, settings) for entry in inputs}
        self._kinds = {entry.topic: self._kind(entry, settings) for entry in inputs}
        self._subscriptions = {topic: self._subscribe(topic) for topic in self._entries}
        self._thread = SubscriptionThread(node, self._callbacks())
        monitor.starts()

    def close(self) -> None:
        """Unsubscribe."""
        self._thread.close()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)

    def set_slop(self, slop_s: float) -> None:
        """Change the largest difference of stamps."""
        self._synchronizer.slops_ns.update(dict.fromkeys(self._near, round(slop_s * NS_PER_S)))

    def follow_types(self) -> None:
        """Subscribe to the images of a topic as they are published: raw, or compressed."""
        for topic, entry in self._entries.items():
            kind = published_image_kind(self._node, self._names[topic]) if entry.transport else None
            if kind is not None and kind != self._kinds[topic]:
                self._kinds[topic] = kind
                self._drop(topic)
        missing = [topic for topic in self._entries if topic not in self._subscriptions]
        for topic in missing:
            try:
                self._subscriptions[topic] = self._subscribe(topic)
            except RuntimeError:  # Some middlewares keep the type of a topic until the last subscription is gone.
                continue
        if missing:
            self._thread.replace(self._callbacks())

    def _drop(self, topic: str) -> None:
        subscription = self._subscriptions.pop(topic, None)
        if subscription is not None:
            self._thread.replace(self._callbacks())
            self._node.destroy_subscription(subscription)

    def problems(self) -> list[Problem]:
        """What is wrong with the inputs now: why no frame is complete, and what else their publishers do."""
        found = []
        if self._monitor.silent:
            silent = {t: s for t, s in list(self._subscriptions.items()) if self._is_silent(t)}
            images = [topic for topic, entry in self._entries.items() if entry.transport]
            info_arrives = self._arrivals.within(INFO.topic, SILENT_S)
            found = no_frame_problems(self._node, silent, images if info_arrives else [])
            found += [] if silent else [self._stamps_differ()]
        for subscription in list(self._subscriptions.values()):
            found += publisher_problems(self._node, subscription)
        return found

    def _is_silent(self, topic: str) -> bool:
        return self._entries[topic].role != "latest" and not self._arrivals.within(topic, SILENT_S)

    def _name(self, entry: Input, settings: StageSettings) -> str:
        """The topic that is subscribed; a transport's is named after the remapped one, as in image_transport."""
        transport = getattr(settings, entry.transport) if entry.transport else RAW
        return transport_topic(self._node.resolve_topic_name(entry.topic), transport)

    def _kind(self, entry: Input, settings: StageSettings) -> str:
        compressed = entry.transport and getattr(settings, entry.transport) != RAW
        published = published_image_kind(self._node, self._names[entry.topic]) if entry.transport else None
        return published or (COMPRESSED_IMAGE if compressed else entry.kind)

    def _subscribe(self, topic: str) -> Any:
        camera = self._entries[topic].camera
        reliability = QoSReliabilityPolicy.BEST_EFFORT if camera else QoSReliabilityPolicy.RELIABLE
        return self._node.create_subscription(
            getattr(self._types, self._kinds[topic]),
            self._names[topic],
            _executor_callback,
            QoSProfile(depth=5, reliability=reliability),
            callback_group=self._group,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )

    def _callbacks(self) -> dict[Any, Callable[[bytes], None]]:
        return {
            self._subscriptions[t]: self._callback(self._entries[t]) for t in self._entries if t in self._subscriptions
        }

    def _callback(self, entry: Input) -> Callable[[bytes], None]:
        wrap = CompressedBytes if self._kinds[entry.topic] == COMPRESSED_IMAGE else bytes

        def latest(data: bytes) -> None:
            self._arrivals.put(entry.topic)
            self._latest[entry.topic] = data

        def synchronized(data: bytes) -> None:
            self._arrivals.put(entry.topic)
            try:
                self._put(entry, wrap(data))
            except BinposeError as error:
                self._monitor.finished(Outcome(error.reason, str(error)))

        return latest if entry.role == "latest" else synchronized

    def _put(self, entry: Input, data: bytes) -> None:
        stamp_ns = serialized_header(data).stamp_ns
        if entry.topic == self._reference:
            self._monitor.arrived(stamp_ns, self._node.get_clock().now().nanoseconds)
        if self._exact is None or not self._is_exact(entry):
            self._complete(self._synchronizer.put(entry.topic, stamp_ns, data))
            return
        for found in self._exact.put(entry.topic, stamp_ns, data):
            self._complete(self._synchronizer.put(self._reference, found.stamp_ns, found))

    def _complete(self, match: Match | None) -> None:
        if match is None:
            return
        self._monitor.completed()
        exact = match[self._reference]
        self._box.put({**match, **(exact.messages if isinstance(exact, MessageSet) else {}), **self._latest})

    def _exact_time(self, inputs: Sequence[Input], settings: StageSettings) -> ExactTime | None:
        """The synchronizer of what other stages publish for one image, where message_filters is installed."""
        package = message_filters()
        topics = sorted((e.topic for e in inputs if self._is_exact(e)), key=lambda topic: topic != self._reference)
        if package is None or len(topics) < 2:
            return None
        return ExactTime(package, topics, settings.keep, self._monitor.counts, self._types)

    def _is_exact(self, entry: Input) -> bool:
        return not entry.camera and entry.role in ("reference", "same")

    def _stamps_differ(self) -> Problem:
        """Messages arrive on all topics, and their stamps do not match."""
        slops_ns = self._synchronizer.slops_ns
        names = self._names
        far = ", ".join(
            f"those of {names[topic]} are {gap / NS_PER_S:.3f} s off, not at most {slops_ns[topic] / NS_PER_S:g}"
            for topic, gap in self._synchronizer.too_far().items()
        )
        return Problem(
            Reason.STAMPS_DIFFER,
            f"No complete frame for {SILENT_S:g} s; expected stamps like those of {names[self._reference]}: "
            f"{far or 'no stamp is on all topics'}; synchronise the camera's streams, or raise slop_s.",
        )


def _executor_callback(data: bytes) -> None:
    """The callback that the executor would call; its group forbids it."""


def read(match: Match, entry: Input, types: Any) -> Any:
    """The message of a topic in a complete frame; a compressed image is decompressed.

    Raises:
        BinposeError: when the topic, whose latest message counts, has had none yet, or an image cannot be read.
    """
    if entry.topic not in match:
        raise BinposeError(
            f"No message on {entry.topic} yet; expected one with the images; start the camera's driver, or remap the "
            "topic.",
            Reason.NO_CAMERA_INFO,
        )
    data = match[entry.topic]
    if isinstance(data, CompressedBytes):
        return decompress(deserialize_message(data, types.CompressedImage), types)
    return deserialize_message(data, getattr(types, entry.kind))
