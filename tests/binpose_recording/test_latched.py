from binpose_recording.cdr import BagTypes, write_message
from binpose_recording.latched import Latched
from binpose_recording.messages import RawMessage

from .conftest import OUTCOME, START_NS, TF_STATIC, text

TYPES = BagTypes()


def transforms(*children, x=0.0):
    time = TYPES.Time(sec=0, nanosec=0)
    messages = [
        TYPES.TransformStamped(
            header=TYPES.Header(stamp=time, frame_id="base"),
            child_frame_id=child,
            transform=TYPES.Transform(
                translation=TYPES.Vector3(x=x, y=0.0, z=0.0), rotation=TYPES.Quaternion(x=0.0, y=0.0, z=0.0, w=1.0)
            ),
        )
        for child in children
    ]
    return RawMessage(TF_STATIC.name, START_NS, write_message(TYPES.TFMessage(transforms=messages)))


def held(latched):
    return [message.data for message, _ in latched.messages(7)]


def test_the_static_transforms_of_every_node_are_held_and_each_nodes_last_overrules():
    latched = Latched()
    arm, camera, moved = transforms("link_1", "link_2"), transforms("camera"), transforms("link_2", "link_1", x=1.0)
    for message in (arm, camera, moved):
        latched.add(message, TF_STATIC)
    assert held(latched) == [camera.data, moved.data]
    assert {message.stamp_ns for message, _ in latched.messages(7)} == {7}


def test_of_other_topics_the_last_message_is_held_and_of_those_not_latched_none():
    latched = Latched()
    for word in ("old", "new"):
        latched.add(text(word, START_NS, TF_STATIC), TF_STATIC)  # No transforms: held like any other.
        latched.add(text(word, START_NS), OUTCOME)
    assert held(latched) == [text("new", 0, TF_STATIC).data]
