"""The node `self_training` on a live graph: what is published is recorded, and read again without ROS."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from live_graph import next_domain

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_reader import Bag
from binpose_recording.cdr import read_message
from binpose_recording.config import KeyframeConfig
from binpose_ros.frames import from_camera, header_of
from binpose_ros.images import from_color, from_depth_m
from binpose_ros.message_types import ros_types
from binpose_self_training.node import SelfTrainingNode

CAMERA = Camera(220.0, 220.0, 79.5, 59.5, 160, 120)


def picture(step, stamp_ns):
    """A wall with a square that stands somewhere else at each step."""
    color = np.full((120, 160, 3), 90, np.uint8)
    depth_m = np.full((120, 160), 0.8, np.float32)
    x = 20 + 40 * step
    color[40:70, x : x + 30], depth_m[40:70, x : x + 30] = 200, 0.75
    return RgbdFrame(color, depth_m, CAMERA, stamp_ns, "camera_optical")


class Robot:
    """A camera, static transforms, pick outcomes, and a caller of services."""

    def __init__(self, context):
        self.node = rclpy.create_node("robot", context=context)
        self.types = ros_types()
        sensor = rclpy.qos.qos_profile_sensor_data
        self.info = self.node.create_publisher(self.types.CameraInfo, "color/camera_info", sensor)
        self.color = self.node.create_publisher(self.types.Image, "color/image_raw", sensor)
        self.depth = self.node.create_publisher(self.types.Image, "aligned_depth_to_color/image_raw", sensor)
        self.outcome = self.node.create_publisher(String, "pick_outcomes", 1000)
        latched = rclpy.qos.QoSProfile(depth=1, durability=rclpy.qos.QoSDurabilityPolicy.TRANSIENT_LOCAL)
        self.static = self.node.create_publisher(self.types.TFMessage, "/tf_static", latched)
        self.static.publish(self.types.TFMessage(transforms=[]))
        self.diagnostics = []
        self.node.create_subscription(
            self.types.DiagnosticArray, "/diagnostics", lambda array: self.diagnostics.append(array.status[0]), 10
        )

    def show(self, frame):
        header = header_of(frame)
        self.info.publish(from_camera(frame.camera, header, self.types))
        self.color.publish(from_color(frame.color, header, self.types))
        self.depth.publish(from_depth_m(frame.depth_m, header, self.types))

    def call(self, kind, name, request):
        client = self.node.create_client(kind, f"/self_training/{name}")
        assert client.wait_for_service(10)
        future = client.call_async(request)
        until(future.done)
        return future.result()

    def record(self, wanted):
        return self.call(SetBool, "record", SetBool.Request(data=wanted))


def until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """Makes nodes with parameters, and a robot, in a domain of their own; all end with the test."""
    context = rclpy.Context()
    domain = next_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))  # For child processes.
    context.init(domain_id=domain)
    executor = rclpy.executors.MultiThreadedExecutor(4, context=context)
    robot = Robot(context)
    executor.add_node(robot.node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    made = []

    def start(*remappings, **parameters):
        values = {"directory": str(tmp_path / "recordings"), "recorder.min_free_gb": 0.0, **parameters}
        overrides = [rclpy.Parameter(name, value=value) for name, value in values.items()]
        arguments = ["--ros-args", *(part for rule in remappings for part in ("-r", rule))]
        node = SelfTrainingNode(context=context, parameter_overrides=overrides, cli_args=arguments)
        made.append(node)
        executor.add_node(node)
        return node

    yield start, robot
    for node in made:
        node.close()
    executor.shutdown(2)
    for node in [*made, robot.node]:
        node.destroy_node()
    context.try_shutdown()


def test_what_the_robot_sees_is_recorded_and_read_again(graph, tmp_path):
    start, robot = graph
    node = start(**{"recorder.keyframes.check_hz": 100.0})
    assert not robot.record(True).success  # Not active yet.
    assert node.trigger_configure() == node.trigger_activate() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
    until(lambda: len(node._subscribed) >= 5)
    answer = robot.record(True)
    assert answer.success and "recording_" in answer.message
    shown = []
    for step in range(3):
        for _ in range(4):
            shown.append(picture(step, robot.node.get_clock().now().nanoseconds))
            robot.show(shown[-1])
            time.sleep(0.1)
        robot.outcome.publish(String(data=f"pick {step}"))
    until(lambda: node._recorder.status.frames.frames == len(shown))
    snapshot = robot.call(Trigger, "snapshot", Trigger.Request())
    assert snapshot.success
    answer = robot.record(False)
    assert answer.success
    (bag,) = (tmp_path / "recordings").glob("recording_*")
    kept = [source.read() for source in bag_frames(bag).frames]
    by_stamp = {frame.stamp_ns: frame for frame in shown}
    assert len(kept) == 3  # One of each scene.
    for frame in kept:
        np.testing.assert_array_equal(frame.color, by_stamp[frame.stamp_ns].color)
        np.testing.assert_array_equal(frame.depth_m, by_stamp[frame.stamp_ns].depth_m)
        assert frame.camera == CAMERA
    counts = Bag(bag).counts
    assert counts["/pick_outcomes"] == 3 and counts["/tf_static"] == 1
    assert len(bag_frames(snapshot.message).frames) == len(shown)
    assert Bag(snapshot.message).counts["/tf_static"] == 1


def test_diagnostics_tell_what_is_missing_and_a_disk_that_does_not_take_it(graph, tmp_path):
    start, robot = graph
    (tmp_path / "recordings").write_text("no folder")
    node = start("color/camera_info:=left/camera_info", record=True)
    assert node.trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.FAILURE
    until(lambda: any("Could not write to" in status.message for status in robot.diagnostics))
    (tmp_path / "recordings").unlink()
    assert node.trigger_configure() == node.trigger_activate() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
    until(lambda: any("No publisher of /left/camera_info;" in status.message for status in robot.diagnostics))
    assert {"recording", "keyframes"} <= {value.key for value in robot.diagnostics[-1].values}


def test_a_quota_that_is_full_stops_the_recording_and_not_the_node(graph, tmp_path):
    start, robot = graph
    node = start(record=True, **{"recorder.quota_gb": 0.002, "recorder.bag.segment_mb": 1.0})
    node.trigger_configure()
    node.trigger_activate()
    (bag,) = (tmp_path / "recordings").glob("recording_*")
    (bag / "protected").touch()
    until(lambda: "/pick_outcomes" in node._subscribed)

    def told():
        robot.outcome.publish(String(data=os.urandom(200_000).hex()))
        time.sleep(0.1)
        return any("quota_gb" in status.message for status in robot.diagnostics)

    until(told)
    assert not robot.record(True).success
    assert not node._recorder.status.is_recording


def test_keyframe_thresholds_may_be_changed_while_it_records_and_the_quota_may_not(graph):
    start, _ = graph
    node = start(record=True)
    node.trigger_configure()
    node.trigger_activate()
    wanted = {"recorder.keyframes.depth_step_m": 0.02, "recorder.quota_gb": 5.0, "recorder.keyframes.min_cells": 0}
    results = node.set_parameters([rclpy.Parameter(name, value=value) for name, value in wanted.items()])
    assert [result.successful for result in results] == [True, False, False]
    assert "before the node is configured" in results[1].reason
    in_work, later = node._recorder._worker.recording.selection.config, node._recorder.config
    assert in_work.keyframes == later.keyframes == KeyframeConfig(depth_step_m=0.02)


def test_it_can_be_switched_off_and_on_while_messages_come(graph, tmp_path):
    start, robot = graph
    node = start(record=True)
    node.trigger_configure()
    for _ in range(3):
        for transition in (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert robot.call(ChangeState, "change_state", request).success
            for _ in range(5):
                robot.show(picture(0, robot.node.get_clock().now().nanoseconds))
                time.sleep(0.02)
    assert not list((tmp_path / "recordings").glob("*/*.active"))
    assert not robot.record(True).success  # It is not active, and still answers.


def recorded(status):
    """The number of messages that a diagnostic status tells."""
    return next((int(value.value) for value in status.values if value.key == "messages"), 0)


def test_a_node_that_is_killed_loses_at_most_the_last_second_and_the_next_one_finishes_its_bag(graph, tmp_path):
    start, robot = graph
    settings = [f"directory:={tmp_path / 'recordings'}", "record:=true", "recorder.min_free_gb:=0.0"]
    arguments = ["--ros-args", *(part for setting in settings for part in ("-p", setting))]
    child = subprocess.Popen([sys.executable, "-m", "binpose_self_training.node", *arguments])
    sent, end = [], time.monotonic() + 30
    while not any(recorded(status) > 40 for status in robot.diagnostics):
        assert time.monotonic() < end and child.poll() is None
        sent.append(time.monotonic())
        robot.outcome.publish(String(data=f"pick {len(sent) - 1}"))
        time.sleep(0.02)
    killed = time.monotonic()
    child.send_signal(signal.SIGKILL)
    child.wait()
    (bag,) = (tmp_path / "recordings").iterdir()
    assert list(bag.glob("*.active"))
    assert start().trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
    assert not list(bag.glob("*.active"))
    words = [read_message(data, "std_msgs/msg/String").data for _, data in Bag(bag).messages(["/pick_outcomes"])]
    first, last = (int(word.split()[1]) for word in (words[0], words[-1]))
    assert words == [f"pick {number}" for number in range(first, last + 1)]  # None is missing in between.
    assert all(killed - handed_over <= 1.0 for handed_over in sent[last + 1 :])
