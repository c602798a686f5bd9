"""Subscriptions whose messages are put together by stamp and read only when they are worked on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message

from binpose_core.errors import BinposeError
from binpose_ros.joining import Mailbox, StampJoin
from binpose_ros.listening import AsideGroup, Listener
from binpose_ros.monitor import SILENT_S, Monitor
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stamps import NS_PER_S

Match = dict[str, Any]
BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Input:
    """A topic that a stage needs.

    topic: relative name.
    kind: the message class' short name, see `message_types.PACKAGES`.
    role: the reference names the frames; the others have its stamp, are near it, or the latest one counts.
    camera: from a camera: sensor-data QoS; else reliable.
    """

    topic: str
    kind: str
    role: Literal["reference", "same", "near", "latest"]
    camera: bool = True


COLOR = Input("color/image_raw", "Image", "same")
DEPTH = Input("aligned_depth_to_color/image_raw", "Image", "near")
INFO = Input("color/camera_info", "CameraInfo", "latest")


class Inputs:
    """Listens on a stage's topics and leaves complete frames, still serialized, in a mailbox.

    Args:
        node: that subscribes.
        inputs: its topics, one of them the reference.
        settings: slop and number of held messages.
        box: where frames are left.
        monitor: told of complete frames, and what is missing when there are none.
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
        self._latest: dict[str, bytes] = {}
        (self._reference,) = (entry.topic for entry in inputs if entry.role == "reference")
        slop_ns = round(settings.slop_s * NS_PER_S)
        slops = {entry.topic: slop_ns * (entry.role == "near") for entry in inputs if entry.role in ("near", "same")}
        self._near = [entry.topic for entry in inputs if entry.role == "near"]
        self._join = StampJoin(self._reference, slops, monitor.counts, settings.keep, settings.keep_mb * BYTES_PER_MB)
        self._group = AsideGroup()
        self._subscriptions = {entry.topic: self._subscribe(entry) for entry in inputs}
        self._listener = Listener(node, {self._subscriptions[entry.topic]: self._callback(entry) for entry in inputs})
        monitor.listens(self._lacking)

    def close(self) -> None:
        """Listen no more."""
        self._monitor.listens(lambda: "")
        self._listener.close()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)

    def set_slop(self, slop_s: float) -> None:
        """Change the largest difference of stamps."""
        self._join.slops_ns.update(dict.fromkeys(self._near, round(slop_s * NS_PER_S)))

    def _subscribe(self, entry: Input) -> Any:
        reliability = QoSReliabilityPolicy.BEST_EFFORT if entry.camera else QoSReliabilityPolicy.RELIABLE
        return self._node.create_subscription(
            getattr(self._types, entry.kind),
            entry.topic,
            _left_to_the_listener,
            QoSProfile(depth=5, reliability=reliability),
            callback_group=self._group,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )

    def _callback(self, entry: Input) -> Callable[[bytes], None]:
        def latest(data: bytes) -> None:
            self._latest[entry.topic] = data

        def joined(data: bytes) -> None:
            try:
                match = self._join.put(entry.topic, serialized_header(data).stamp_ns, data)
            except BinposeError as error:
                self._monitor.failed(str(error))
                return
            if match is not None:
                self._monitor.completed()
                self._box.put({**match, **self._latest})

        return latest if entry.role == "latest" else joined

    def _lacking(self) -> str:
        """Why no frame is complete."""
        if silent := self._join.silent(SILENT_S):
            why = " ".join(self._silence(topic) for topic in silent)
            return f"No complete frame for {SILENT_S:g} s; check the camera and the topics' names. {why}"
        slops_ns = self._join.slops_ns
        names = {topic: subscription.topic_name for topic, subscription in self._subscriptions.items()}
        far = ", ".join(
            f"those of {names[topic]} are {gap / NS_PER_S:.3f} s off, not at most {slops_ns[topic] / NS_PER_S:g}"
            for topic, gap in self._join.too_far().items()
        )
        return (
            f"No complete frame for {SILENT_S:g} s; expected stamps like those of {names[self._reference]}: "
            f"{far or 'no stamp is on all topics'}; synchronise the camera's streams, or raise slop_s."
        )

    def _silence(self, topic: str) -> str:
        """Why nothing comes on a topic, as far as its publishers of now tell."""
        subscription = self._subscriptions[topic]
        name = subscription.topic_name
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(name)]
        for qos in offered:
            fits, why = qos_check_compatible(qos, subscription.qos_profile)
            if fits == QoSCompatibility.ERROR:
                return f"A publisher of {name} offers another QoS ({why.strip(' ;')}); set qos_overrides of this topic."
        return f"Nothing came on {name}." if offered else f"Nobody sends {name}."


def _left_to_the_listener(data: bytes) -> None:
    """The callback that the executor would call; its group forbids it."""


def read(match: Match, entry: Input, types: Any) -> Any:
    """The message of a topic in a complete frame.

    Raises:
        BinposeError: when the topic, whose latest message counts, has had none yet.
    """
    if entry.topic not in match:
        raise BinposeError(
            f"No message on {entry.topic} yet; expected one with the images; start the camera's driver, or remap the "
            "topic."
        )
    return deserialize_message(match[entry.topic], getattr(types, entry.kind))
