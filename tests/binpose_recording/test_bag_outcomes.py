"""Outcomes in a bag: each belongs to the recorded frame of its scene, and is moved to the frame's camera."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from binpose_core.geometry.transforms import (
    exp_so3,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    random_rotation,
)
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_outcomes import bag_outcomes
from binpose_recording.bag_writer import write_bag
from binpose_recording.cdr import write_message
from binpose_recording.config import Role
from binpose_recording.messages import RawMessage, Topic
from binpose_ros.pick_messages import PICK_OUTCOME

from .conftest import SECOND, START_NS, TF_STATIC
from .test_bag_frames import COLOR, DEPTH, INFO, camera_messages
from .test_bag_transforms import transforms

MESSAGES = Path(__file__).parents[2] / "src/binpose_interfaces/msg"
OUTCOME = Topic("/pick_outcomes", PICK_OUTCOME, Role.EVENT)
ROLES = {COLOR: Role.COLOR, DEPTH: Role.DEPTH, INFO: Role.INFO}
T_BASE_CAM = from_rotation_translation(exp_so3(np.array([0.2, -0.1, 0.3])), np.array([0.5, 0.1, 0.9]))
STORE = get_typestore(Stores.ROS2_JAZZY)
for _file in (MESSAGES / "Grasp.msg", MESSAGES / "PickOutcome.msg"):
    STORE.register(get_types_from_msg(_file.read_text(encoding="utf-8"), f"binpose_interfaces/msg/{_file.stem}"))


def of(kind, **fields):
    package, name = kind.split("/")
    return STORE.types[f"{package}/msg/{name}"](**fields)


def pose(T):
    point = of("geometry_msgs/Point", **dict(zip("xyz", T[:3, 3].tolist(), strict=True)))
    turn = quat_xyzw_from_rotation(T[:3, :3]).tolist()
    quaternion = of("geometry_msgs/Quaternion", **dict(zip("xyzw", turn, strict=True)))
    return of("geometry_msgs/Pose", position=point, orientation=quaternion)


def outcome(stamp_ns, T, succeeded=True, frame_id="optical", received_ns=None):
    """A PickOutcome as a driver would publish it, serialized by the definition of its type."""
    time = of("builtin_interfaces/Time", sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
    header = of("std_msgs/Header", stamp=time, frame_id=frame_id)
    here = pose(T)
    grasp = of(
        "binpose_interfaces/Grasp", object_id="cog", detection_id="abc/0", object_pose=here, object_score=0.9,
        pose=here, pregrasp=here, retreat=here, width=0.02, score=0.8, tool="parallel", joints=np.zeros(0),
    )  # fmt: skip
    message = of(
        "binpose_interfaces/PickOutcome", header=header, grasp=grasp, width=0.019, success=succeeded, end="PLACED"
    )
    data = bytes(STORE.serialize_cdr(message, PICK_OUTCOME))
    return RawMessage(OUTCOME.name, received_ns or stamp_ns + 5 * SECOND, data), OUTCOME


def at(seconds):
    return START_NS + round(seconds * SECOND)


def keyframes(*seconds):
    """The messages of a camera, of which a recorder kept the frames at these times."""
    for one in seconds:
        for topic, kind, _, message in camera_messages(1):
            stamp = of("builtin_interfaces/Time", sec=at(one) // SECOND, nanosec=at(one) % SECOND)
            message.header.stamp = stamp
            yield RawMessage(topic, at(one), write_message(message)), Topic(topic, kind, ROLES[topic])


def static_camera():
    """The camera in the base frame, on /tf_static."""
    message = transforms(0, "base", "optical", T_BASE_CAM)
    return RawMessage(TF_STATIC.name, START_NS, write_message(message)), TF_STATIC


def picks_of(path, messages):
    """The seconds of the frames that have picks, with the picks; and the notes."""
    write_bag(path, iter(sorted(messages, key=lambda entry: entry[0].stamp_ns)))
    frames = bag_frames(path).frames
    found = bag_outcomes(frames)
    seconds = {frame.name: (frame.color.stamp_ns - START_NS) / SECOND for frame in frames}
    return {seconds[name]: picks for name, picks in found.outcomes.items()}, found.notes


def test_an_outcome_belongs_to_the_frame_that_shows_its_scene(tmp_path):
    """Each keyframe was taken when the scene had come to rest; the images of the grasps lie around it."""
    T = np.eye(4)
    messages = [
        *keyframes(0.0, 20.0, 40.0),
        outcome(at(0.0), T),  # the image itself was recorded
        outcome(at(19.6), T, succeeded=False),  # an image shortly before its scene was known to rest
        outcome(at(26.0), T),  # a later image of that scene
        outcome(at(55.0), T, succeeded=False),
        outcome(at(70.0), T),
    ]
    found, notes = picks_of(tmp_path / "bag", messages)
    assert {second: [pick.succeeded for pick in picks] for second, picks in found.items()} == {
        0.0: [True], 20.0: [False, True], 40.0: [False, True],
    }  # fmt: skip
    assert notes == ()


def test_an_outcome_of_a_scene_that_was_not_recorded_is_left_out(tmp_path):
    """The first pick has changed the scene of the only frame."""
    messages = [*keyframes(0.0), outcome(at(3.0), np.eye(4)), outcome(at(20.0), np.eye(4))]
    found, (note,) = picks_of(tmp_path / "bag", messages)
    assert len(found[0.0]) == 1 and "no frame of the scene" in note


def test_two_picks_from_one_image_both_count(tmp_path):
    messages = [*keyframes(0.0), outcome(at(3.0), np.eye(4)), outcome(at(3.0), np.eye(4), received_ns=at(20.0))]
    found, notes = picks_of(tmp_path / "bag", messages)
    assert len(found[0.0]) == 2 and not notes


def test_poses_in_the_base_frame_are_moved_to_the_camera(tmp_path, rng):
    T_cam_obj = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    messages = [static_camera(), *keyframes(0.0), outcome(at(0.2), T_BASE_CAM @ T_cam_obj, frame_id="base")]
    found, notes = picks_of(tmp_path / "bag", messages)
    assert not notes
    (pick,) = found[0.0]
    np.testing.assert_allclose(pick.T_cam_obj, T_cam_obj, atol=1e-7)
    np.testing.assert_allclose(pick.details["T_cam_hand"], T_cam_obj, atol=1e-7)
    assert (pick.object_id, pick.succeeded, pick.details["width_m"]) == ("cog", True, 0.019)


@pytest.mark.parametrize("with_transforms", [False, True])
def test_poses_in_an_unknown_frame_are_left_out(tmp_path, with_transforms):
    messages = [*keyframes(0.0), outcome(at(0.2), np.eye(4), frame_id="elsewhere")]
    found, (note,) = picks_of(tmp_path / "bag", messages + ([static_camera()] if with_transforms else []))
    assert found == {} and "elsewhere" in note


def test_a_damaged_outcome_is_left_out_and_the_others_are_read(tmp_path):
    raw, topic = outcome(at(0.1), np.eye(4))
    cut = RawMessage(raw.topic, raw.stamp_ns, raw.data[:90])
    found, (note,) = picks_of(tmp_path / "bag", [*keyframes(0.0), (cut, topic), outcome(at(0.0), np.eye(4))])
    assert len(found[0.0]) == 1 and "/pick_outcomes was left out" in note
