"""Topics and messages, without ROS."""

import struct

from binpose_recording.cdr import standard_types
from binpose_recording.config import Role
from binpose_recording.messages import RawMessage, Topic, qos

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND

COLOR = Topic("/camera/color/image_raw", "sensor_msgs/msg/Image", Role.COLOR, (qos(reliable=False),))
DEPTH = Topic("/camera/aligned_depth_to_color/image_raw", "sensor_msgs/msg/Image", Role.DEPTH, (qos(reliable=False),))
INFO = Topic("/camera/color/camera_info", "sensor_msgs/msg/CameraInfo", Role.INFO)
TF = Topic("/tf", "tf2_msgs/msg/TFMessage", Role.CONTEXT)
TF_STATIC = Topic("/tf_static", "tf2_msgs/msg/TFMessage", Role.EVENT, (qos(latched=True, depth=1),))
POSES = Topic("/refinement/poses", "vision_msgs/msg/Detection3DArray", Role.RESULT)
OUTCOME = Topic("/pick_outcome", "std_msgs/msg/String", Role.EVENT)
TOPICS = {topic.name: topic for topic in (COLOR, DEPTH, INFO, TF, TF_STATIC, POSES, OUTCOME)}


def stamped(topic: Topic, stamp_ns: int, payload: bytes = b"", received_ns: int | None = None) -> RawMessage:
    """A message that begins with a header of that stamp; what follows is no valid message of its type."""
    header = struct.pack("<4BiII", 0, 1, 0, 0, stamp_ns // SECOND, stamp_ns % SECOND, 0)
    return RawMessage(topic.name, stamp_ns if received_ns is None else received_ns, header + payload)


def text(words: str, stamp_ns: int, topic: Topic = OUTCOME) -> RawMessage:
    """A valid std_msgs/String."""
    store = standard_types()
    message = store.types["std_msgs/msg/String"](words)
    return RawMessage(topic.name, stamp_ns, bytes(store.serialize_cdr(message, "std_msgs/msg/String")))
