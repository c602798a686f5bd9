"""Bad input gives a reason, never a crash, and the poses come back as soon as the input is right again."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from live_graph import MODEL
from live_messages import send_info_until_received, stamp

NS_PER_S = 1_000_000_000


class HandCamera:
    """Sends one picture, as it is told."""

    def __init__(self, graph: Any) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        from binpose_core.learning.model_store import ModelStore
        from binpose_core.learning.stored_parts import stored_objects
        from binpose_ros.message_types import ros_types
        from binpose_simulation.node import CameraSettings, simulate_views

        settings = CameraSettings(views=1, parts=6)
        view = simulate_views(stored_objects(ModelStore(MODEL).load()), settings, 0)[0]
        self.frame = replace(view.frame, frame_id="camera")
        self.types = ros_types()
        self.stamp_ns, self.clock_offset_ns = time.time_ns(), 0
        node = graph.node
        self.publishers = {
            "color": node.create_publisher(Image, "/color/image_raw", 10),
            "info": node.create_publisher(CameraInfo, "/color/camera_info", 10),
            "depth": node.create_publisher(Image, "/aligned_depth_to_color/image_raw", 10),
        }

    def messages(self) -> dict[str, Any]:
        """Right ones, with the next stamp."""
        from binpose_ros.frames import from_camera
        from binpose_ros.images import from_color, from_depth_m
        from binpose_ros.stamps import Header

        self.stamp_ns = max(self.stamp_ns + NS_PER_S // 10, time.time_ns() + self.clock_offset_ns)
        header, frame, types = Header(self.stamp_ns, "camera"), self.frame, self.types
        return {
            "color": from_color(frame.color, header, types),
            "info": from_camera(frame.camera, header, types),
            "depth": from_depth_m(frame.depth_m, header, types),
        }

    def send(self, messages: dict[str, Any]) -> tuple[int, int]:
        """Info first, as the camera's drivers do."""
        for name in ("info", "color", "depth"):
            if name in messages:
                self.publishers[name].publish(messages[name])
                time.sleep(0.1 * (name == "info"))  # The latest counts: it must be there when the images come.
        color = messages.get("color")
        return (color.header.stamp.sec, color.header.stamp.nanosec) if color else (0, 0)


@pytest.fixture(scope="module")
def live(graph: Any) -> Any:
    """The composed node, before any camera has sent a thing."""
    from binpose_interfaces.msg import FrameStatus
    from vision_msgs.msg import Detection3DArray

    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    graph.results = graph.listen("/refinement/status", FrameStatus)
    graph.start("bin_picking")
    graph.wait(lambda: graph.status("bin_picking").get("state") == "active", "the node")
    graph.camera = HandCamera(graph)
    publishers = graph.camera.publishers.values()
    graph.wait(lambda: all(p.get_subscription_count() for p in publishers), "the node's subscriptions")
    return graph


def answer(live: Any, messages: dict[str, Any]) -> Any:
    """The poses of a frame; a frame that the transport lost is sent again."""
    for _ in range(10):
        wanted = live.camera.send(messages)
        try:
            return live.wait(lambda w=wanted: next((p for p in live.poses if stamp(p) == w), None), "an answer", 10)
        except AssertionError:
            if live.processes["bin_picking"].poll() is not None:
                raise
    raise AssertionError(f"no answer\n{live.log('bin_picking')[-3000:]}")


def reason(live: Any) -> str:
    return str(live.status("bin_picking").get("message", ""))


def assert_right_again(live: Any) -> None:
    assert answer(live, live.camera.messages()).detections


def with_frame(message: Any, frame_id: str) -> Any:
    message.header.frame_id = frame_id
    return message


def test_silence_and_images_without_camera_info_have_a_reason(live: Any) -> None:
    live.wait(lambda: "check the camera" in reason(live), "the reason")
    messages = live.camera.messages()
    del messages["info"]
    assert not answer(live, messages).detections
    live.wait(lambda: "No message on color/camera_info" in reason(live), "the reason")
    camera = live.camera
    send_info_until_received(live, "bin_picking", lambda: camera.send({"info": camera.messages()["info"]}))
    assert_right_again(live)


def nan_depth(camera: HandCamera, messages: dict[str, Any]) -> None:
    from binpose_ros.images import from_depth_m
    from binpose_ros.stamps import from_header

    nothing = np.full_like(camera.frame.depth_m, np.nan)
    messages["depth"] = from_depth_m(nothing, from_header(messages["depth"]), camera.types)


def millimetres_as_metres(camera: HandCamera, messages: dict[str, Any]) -> None:
    from binpose_ros.images import from_depth_m
    from binpose_ros.stamps import from_header

    messages["depth"] = from_depth_m(camera.frame.depth_m * 1000, from_header(messages["depth"]), camera.types)


def small_info(camera: HandCamera, messages: dict[str, Any]) -> None:
    from binpose_ros.frames import from_camera
    from binpose_ros.stamps import from_header

    messages["info"] = from_camera(camera.frame.camera.resized(320, 240), from_header(messages["info"]), camera.types)


def small_depth(camera: HandCamera, messages: dict[str, Any]) -> None:
    from binpose_ros.images import from_depth_m
    from binpose_ros.stamps import from_header

    messages["depth"] = from_depth_m(camera.frame.depth_m[::2, ::2], from_header(messages["depth"]), camera.types)


def uncalibrated(camera: HandCamera, messages: dict[str, Any]) -> None:
    messages["info"].k = np.zeros(9)


BAD = {
    "unknown encoding": (lambda c, m: setattr(m["color"], "encoding", "jpeg"), "'jpeg'", "UNKNOWN_ENCODING"),
    "depth as mono16": (lambda c, m: setattr(m["depth"], "encoding", "mono16"), "'mono16'", "UNKNOWN_ENCODING"),
    "depth of another frame": (lambda c, m: with_frame(m["depth"], "lidar"), "'lidar'", "FRAME_MISMATCH"),
    "info of another frame": (lambda c, m: with_frame(m["info"], "left"), "'left'", "FRAME_MISMATCH"),
    "truncated image": (lambda c, m: setattr(m["color"], "height", 4000), "bytes", "DAMAGED_IMAGE"),
    "no valid depth": (nan_depth, "no valid pixel", "NO_DEPTH"),
    "depth in another unit": (millimetres_as_metres, "median depth", "DEPTH_UNIT"),
    "info of another size": (small_info, "320x240", "SIZE_MISMATCH"),
    "depth of another size": (small_depth, "align", "SIZE_MISMATCH"),
    "uncalibrated camera": (uncalibrated, "calibrate", "UNCALIBRATED_CAMERA"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_has_a_reason_and_the_next_good_one_has_poses(live: Any, name: str) -> None:
    spoil, expected, code = BAD[name]
    messages = live.camera.messages()
    spoil(live.camera, messages)
    wanted = stamp(answer(live, messages))
    failed = live.wait(lambda: next((s for s in live.results if stamp(s) == wanted), None), "the frame's status", 20)
    assert not failed.success and failed.code == code and expected in failed.message and failed.reported == 0
    live.wait(lambda: expected in reason(live), f"the reason {expected!r} in {reason(live)!r}", 20)
    assert live.status("bin_picking")["last_code"] == code
    assert_right_again(live)
    wanted = stamp(live.poses[-1])
    good = live.wait(lambda: next((s for s in live.results if stamp(s) == wanted), None), "the frame's status", 20)
    assert good.success and good.code == "OK" and good.reported == len(live.poses[-1].detections)


def test_a_request_is_not_answered_with_an_empty_bin_when_every_frame_fails(live: Any) -> None:
    from binpose_interfaces.action import EstimatePoses
    from rclpy.action import ActionClient

    client = ActionClient(live.node, EstimatePoses, "/bin_picking/estimate_poses")
    live.wait(client.server_is_ready, "the action")
    goal = live.asked(lambda: client.send_goal_async(EstimatePoses.Goal()), "the goal's acceptance")
    future = goal.get_result_async()

    def answered() -> bool:
        messages = live.camera.messages()
        messages["color"].encoding = "jpeg"
        live.camera.send(messages)
        return bool(future.done())

    live.wait(answered, "the answer", 60)
    result = future.result().result
    assert not result.success and result.code == "UNKNOWN_ENCODING" and "'jpeg'" in result.message
    client.destroy()
    assert_right_again(live)


def test_images_may_change_their_size_and_depth_its_encoding(live: Any) -> None:
    from binpose_ros.frames import from_camera
    from binpose_ros.images import from_color, from_depth_m
    from binpose_ros.stamps import from_header

    messages, frame, types = live.camera.messages(), live.camera.frame, live.camera.types
    header, rows = from_header(messages["color"]), slice(0, 400)
    smaller = {
        "color": from_color(frame.color[rows], header, types),
        "info": from_camera(replace(frame.camera, height=400), header, types),
        "depth": from_depth_m(frame.depth_m[rows], header, types, "16UC1"),
    }
    assert answer(live, smaller).detections
    assert_right_again(live)


def test_stamps_that_go_back_are_a_restart(live: Any) -> None:
    live.camera.clock_offset_ns = -20 * NS_PER_S
    live.camera.stamp_ns -= 20 * NS_PER_S
    assert_right_again(live)
    live.wait(lambda: int(live.status("bin_picking").get("frames_restarts", 0)) >= 1, "the count")


def test_half_of_the_messages_are_lost_and_the_other_frames_have_poses(live: Any) -> None:
    """Of colour, depth and camera info in turn; what has no partner is counted and holds nothing up."""
    before = int(live.status("bin_picking")["frames_unmatched"])
    for lost in ("depth", "color", "info", "depth"):
        messages = live.camera.messages()
        del messages[lost]
        live.camera.send(messages)
        assert_right_again(live)
    live.wait(lambda: int(live.status("bin_picking")["frames_unmatched"]) >= before + 2, "the count")
    live.wait(lambda: live.status("bin_picking")["message"] == "ok", "diagnostics without a reason")


def test_what_is_missing_after_good_frames_is_told(live: Any) -> None:
    """A topic that ended is named, and depth whose stamps are never near enough."""
    depth = "/aligned_depth_to_color/image_raw"

    def sent_until(expected: str, spoil: Any) -> None:
        def told() -> bool:
            messages = live.camera.messages()
            spoil(messages)
            live.camera.send(messages)
            return expected in reason(live)

        live.wait(told, expected, 30)
        assert_right_again(live)

    sent_until(f"Nothing came on {depth}", lambda messages: messages.pop("depth"))

    def late(messages: dict[str, Any]) -> None:
        messages["depth"].header.stamp.nanosec += 50_000_000

    sent_until(f"{depth} are 0.050 s off, not at most 0.02", late)
    live.wait(lambda: reason(live) == "ok", "diagnostics without a reason")


def test_a_publisher_with_a_qos_that_does_not_fit_is_told(live: Any) -> None:
    """A reliable subscription does not hear a best-effort publisher: the detections of the separate estimator."""
    from rclpy.qos import qos_profile_sensor_data
    from vision_msgs.msg import Detection2DArray

    live.start("pose_estimator")
    publisher = live.node.create_publisher(Detection2DArray, "/detection/detections", qos_profile_sensor_data)
    live.wait(lambda: "offers another QoS" in str(live.status("pose_estimator").get("message")), "the reason")
    live.node.destroy_publisher(publisher)
    # That of bin_picking, which fits, is still there.
    live.wait(lambda: "another QoS" not in live.status("pose_estimator")["message"], "diagnostics without it")
    live.wait(lambda: "Nothing came on /detection/detections." in live.status("pose_estimator")["message"], "why")
    assert live.stop("pose_estimator") == 0
