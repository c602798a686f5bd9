"""Our bags are read by others and played into the nodes, which find the same poses.

rosbag2 does both; where it is not installed, `rosbags` reads the bag that is played.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from live_graph import MODEL
from live_messages import assert_same_parts, poses_of, send_info_until_received

FRAMES, SCORE = 2, 0.5
# The frames of a bag are a tenth of a second apart; at this rate the nodes work on all of them.
RATE, DISCOVERY_S = 0.02, 5.0


@pytest.fixture(scope="module")
def rosbag2(ros_environment: dict[str, str]) -> list[str] | None:
    """The command `ros2 bag`, where it is installed."""
    tool = shutil.which("ros2")
    if tool is None or subprocess.run([tool, "bag", "--help"], capture_output=True, env=ros_environment).returncode:
        return None
    return [tool, "bag"]


@pytest.fixture(scope="module")
def frames(ros_environment: dict[str, str]) -> list[Any]:
    """Two pictures of one bin."""
    from binpose_pipeline.bundle import load_bundle
    from binpose_recording.frame_bag import DEFAULT_START_NS
    from binpose_simulation.node import CameraSettings, simulate_views

    settings = CameraSettings(views=FRAMES)
    views = simulate_views(dict(load_bundle(MODEL).objects), settings, seed=3)
    return [
        replace(view.frame, stamp_ns=DEFAULT_START_NS + number * 100_000_000, frame_id=settings.frame_id)
        for number, view in enumerate(views)
    ]


@pytest.fixture(scope="module")
def bag(frames: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from binpose_recording.frame_bag import write_frames

    path = tmp_path_factory.mktemp("bags") / "simulated"
    assert write_frames(path, frames) == FRAMES
    return path


def test_info_tells_what_we_wrote(rosbag2: list[str] | None, bag: Path, ros_environment: dict[str, str]) -> None:
    if rosbag2 is None:
        pytest.skip("there is no `ros2 bag`: install ros-jazzy-ros2bag and ros-jazzy-rosbag2-storage-mcap")
    done = subprocess.run([*rosbag2, "info", str(bag)], capture_output=True, text=True, env=ros_environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), "rosbag2 complains"
    said = " ".join(done.stdout.split())
    assert f"Messages: {3 * FRAMES}" in said and "Storage id: mcap" in said
    for topic, kind in (
        ("color/image_raw", "Image"),
        ("color/camera_info", "CameraInfo"),
        ("aligned_depth_to_color/image_raw", "Image"),
    ):
        assert f"Topic: /camera/{topic} | Type: sensor_msgs/msg/{kind} | Count: {FRAMES}" in said


@pytest.fixture(scope="module")
def played(rosbag2: list[str] | None, bag: Path, graph: Any, ros_environment: dict[str, str]) -> Iterator[list[Any]]:
    """What the nodes send while the bag is played to them."""
    from vision_msgs.msg import Detection3DArray

    graph.start("bin_picking", model=str(MODEL))
    graph.wait(lambda: graph.status("bin_picking").get("state") == "active", "the active node")
    poses = graph.listen("/refinement/poses", Detection3DArray)
    if rosbag2 is None:
        play(graph, bag, poses)
        yield list(poses)
        return
    topics = ("color/image_raw", "color/camera_info", "aligned_depth_to_color/image_raw")
    command = [*rosbag2, "play", str(bag), "--rate", str(RATE), "--delay", str(DISCOVERY_S), "--remap"]
    with (graph.folder / "play.log").open("w") as log:
        player = subprocess.Popen(
            [*command, *(f"/camera/{topic}:={topic}" for topic in topics)],
            env=dict(ros_environment, ROS_DOMAIN_ID=str(graph.domain)),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    graph.wait(lambda: len(poses) == FRAMES, "poses of all frames")
    yield list(poses)
    if player.poll() is None:
        os.killpg(player.pid, signal.SIGTERM)
        player.wait(20)


def play(graph: Any, bag: Path, poses: list[Any]) -> None:
    """Publish a bag's messages as they are stored, the next frame once the poses of the last one have come."""
    from rclpy.qos import qos_profile_sensor_data
    from rosbags.rosbag2 import Reader

    from binpose_ros.message_types import message_class

    with Reader(bag) as reader:
        publishers = {
            connection.topic: graph.node.create_publisher(
                message_class(connection.msgtype), connection.topic.removeprefix("/camera"), qos_profile_sensor_data
            )
            for connection in reader.connections
        }
        graph.wait(lambda: all(entry.get_subscription_count() for entry in publishers.values()), "the node's inputs")
        topic = "/camera/color/camera_info"
        info = next(bytes(data) for connection, _, data in reader.messages() if connection.topic == topic)
        send_info_until_received(graph, "bin_picking", lambda: publishers[topic].publish(info))
        for number, (connection, _, data) in enumerate(reader.messages()):
            graph.wait(lambda n=number: len(poses) == n // len(publishers), "the poses of the frame before")
            publishers[connection.topic].publish(bytes(data))
    graph.wait(lambda: len(poses) == FRAMES, "poses of all frames")


def test_the_nodes_find_in_a_played_bag_what_the_library_finds_in_its_frames(
    played: list[Any], frames: list[Any]
) -> None:
    from binpose_pipeline.bundle import load_bundle
    from binpose_ros.stamps import from_header

    pipeline = load_bundle(MODEL).pipeline
    for message, frame in zip(played, frames, strict=True):
        assert from_header(message) == (frame.stamp_ns, frame.frame_id)
        theirs = [(pose.object_id, pose.score, pose.T_cam_obj) for pose in pipeline(frame) if pose.score >= SCORE]
        assert_same_parts([(pose.object_id, pose.score, pose.T_cam_obj) for pose in poses_of(message)], theirs)
