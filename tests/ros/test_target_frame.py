"""Compressed images in, poses in the robot's base frame out; without its transform none at all."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from bench import Workbench
from live_graph import MODEL
from live_messages import poses_of, send_info_until_received, stamp
from plain_frames import box_on_table
from scipy.spatial.transform import Rotation

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.geometry.transforms import from_rotation_translation

T_BASE_CAM = from_rotation_translation(
    Rotation.from_euler("xyz", [2.9, 0.1, 0.4]).as_matrix(), np.array([0.3, -0.2, 1.1])
)
DEPTH, COLOR, INFO = "aligned_depth_to_color/image_raw", "color/image_raw", "color/camera_info"


class CompressedCamera:
    """One picture of a simulated bin, compressed without loss."""

    def __init__(self, graph: Any) -> None:
        from sensor_msgs.msg import CameraInfo, CompressedImage

        from binpose_core.learning.model_store import ModelStore
        from binpose_core.learning.stored_parts import stored_objects
        from binpose_ros.message_types import ros_types
        from binpose_simulation.node import CameraSettings, simulate_views

        view = simulate_views(stored_objects(ModelStore(MODEL).load()), CameraSettings(views=1, parts=6), 0)[0]
        self.types = ros_types()
        depth_m = np.rint(view.frame.depth_m * 1e3).astype(np.float32) * np.float32(1e-3)
        self.frame = replace(view.frame, frame_id="camera", depth_m=depth_m)
        node = graph.node
        self.publishers = [
            node.create_publisher(CameraInfo, f"/{INFO}", 10),
            node.create_publisher(CompressedImage, f"/{COLOR}/compressed", 10),
            node.create_publisher(CompressedImage, f"/{DEPTH}/compressedDepth", 10),
        ]

    def send_info(self) -> None:
        """Publish the camera info alone."""
        from binpose_ros.frames import from_camera
        from binpose_ros.stamps import Header

        self.publishers[0].publish(from_camera(self.frame.camera, Header(time.time_ns(), "camera"), self.types))

    def send(self) -> tuple[int, int]:
        """Publish it with the time of now; returns the stamp."""
        from binpose_ros.frames import from_camera
        from binpose_ros.stamps import Header, to_header

        header = Header(time.time_ns(), "camera")
        color = bytes(cv2.imencode(".png", cv2.cvtColor(self.frame.rgb, cv2.COLOR_RGB2BGR))[1])
        depth = bytes(12) + bytes(cv2.imencode(".png", np.rint(self.frame.depth_m * 1e3).astype(np.uint16))[1])
        compressed, stamped = self.types.CompressedImage, to_header(header, self.types)
        messages = [
            from_camera(self.frame.camera, header, self.types),
            compressed(header=stamped, format="rgb8; png compressed bgr8", data=self.types.octets(color)),
            compressed(header=stamped, format="16UC1; compressedDepth png", data=self.types.octets(depth)),
        ]
        for publisher, message in zip(self.publishers, messages, strict=True):
            publisher.publish(message)
        return divmod(header.stamp_ns, 1_000_000_000)


@pytest.fixture(scope="module")
def live(graph: Any) -> Any:
    """The composed node with a camera that publishes compressed images alone, before any transform."""
    from binpose_interfaces.msg import FrameStatus
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray
    from visualization_msgs.msg import MarkerArray

    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    graph.results = graph.listen("/refinement/status", FrameStatus)
    graph.markers = graph.listen("/refinement/markers", MarkerArray)
    graph.frames = graph.listen("/tf", TFMessage)
    graph.start(
        "bin_picking", target_frame="base", tf=True, tf_prefix="left", tresholds=0.4,
        color_transport="compressed", depth_transport="compressedDepth",
    )  # fmt: skip
    graph.wait(lambda: graph.status("bin_picking").get("state") == "active", "the node")
    graph.camera = CompressedCamera(graph)
    graph.wait(lambda: all(p.get_subscription_count() for p in graph.camera.publishers), "the subscriptions")
    send_info_until_received(graph, "bin_picking", graph.camera.send_info)
    return graph


def answer(live: Any) -> tuple[Any, Any]:
    """The poses and the status of a frame that is sent from now on."""
    sent: set[tuple[int, int]] = set()

    def answered() -> Any:
        sent.add(live.camera.send())
        time.sleep(0.5)
        for status in [status for status in list(live.results) if stamp(status) in sent]:
            poses = next((array for array in list(live.poses) if stamp(array) == stamp(status)), None)
            if poses is not None:
                return poses, status
        return None

    poses, status = live.wait(answered, "an answer", 300)
    return poses, status


@pytest.fixture
def refinement(bench: Workbench) -> Any:
    """An active node in this process, and what it publishes by topic."""
    from binpose_refinement.node import RefinementNode

    node = bench(RefinementNode, model=str(MODEL), watch_s=0.0, target_frame="base", tf=True, tf_prefix="left")
    node.trigger_configure()
    node.trigger_activate()
    node.sent = {}
    for name in ("_poses", "_tf", "_markers", "_overlay"):
        fake = SimpleNamespace(
            publish=lambda message, name=name: node.sent.setdefault(name, []).append(message),
            get_subscription_count=lambda: 1,
        )
        setattr(node.results.outputs, name, fake)
    return node


def published(node: Any) -> Any:
    """The result of a frame with one pose above the threshold and one below."""
    from binpose_core.frames.types import PoseEstimate
    from binpose_ros.outcome import Outcome

    model, frame = node.models.find(""), replace(box_on_table(), frame_id="camera", stamp_ns=5_000_000_000)
    name = next(iter(model.objects))
    T_cam_obj = from_rotation_translation(np.eye(3), np.array([0.01, 0.02, 0.6]))
    poses = [PoseEstimate(name, T_cam_obj, 0.9), PoseEstimate(name, T_cam_obj, 0.1)]
    return node.results.outputs.publish(frame, poses, model, node.settings, Outcome), T_cam_obj


def test_without_the_transform_the_frame_fails_before_anything_is_sent(refinement: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("binpose_ros.transforms.PATIENCE_S", 0.1)
    with pytest.raises(BinposeError, match="'camera' and 'base' are not connected") as caught:
        published(refinement)
    assert caught.value.reason is Reason.TF_MISSING and refinement.sent == {}


def test_poses_markers_and_transforms_are_in_the_target_frame_and_the_overlay_in_the_cameras(refinement: Any) -> None:
    refinement.transforms._buffer.put("base", "camera", 0, T_BASE_CAM, static=True)
    result, T_cam_obj = published(refinement)
    received = poses_of_bytes(refinement.sent["_poses"][0])
    np.testing.assert_allclose(received[0].T_cam_obj, T_BASE_CAM @ T_cam_obj, atol=1e-9)
    assert result.header.frame_id == "base" and len(result.poses) == 2
    assert (result.outcome.reason, result.outcome.found, result.outcome.reported) == (Reason.OK, 2, 1)
    assert {marker.header.frame_id for marker in refinement.sent["_markers"][0].markers} == {"base"}
    (transform,) = refinement.sent["_tf"][0].transforms
    assert transform.header.frame_id == "base" and transform.child_frame_id.startswith("left/")
    assert refinement.sent["_overlay"][0].header.frame_id == "camera"


def poses_of_bytes(data: bytes) -> list[Any]:
    from binpose_ros.poses import read_poses

    return read_poses(data)[0]


def test_without_the_transform_nothing_is_published_in_a_wrong_frame(live: Any) -> None:
    poses, status = answer(live)
    assert not poses.detections and not status.success and status.code == "TF_MISSING"
    assert "'camera'" in status.message and "'base'" in status.message
    live.wait(lambda: "TF_MISSING" in live.status("bin_picking").get("codes", ""), "the code in the diagnostics")
    assert not live.frames


def test_poses_are_those_of_the_library_in_the_target_frame(live: Any) -> None:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage

    from binpose_pipeline.bundle import load_bundle
    from binpose_pipeline.scene.alike_poses import AlikePoses
    from binpose_ros.poses import from_matrix
    from binpose_ros.transforms import STATIC

    place = from_matrix(T_BASE_CAM, live.camera.types)
    entry = TransformStamped(child_frame_id="camera")
    entry.header.frame_id = "base"
    entry.transform.rotation = place.orientation
    for axis in "xyz":
        setattr(entry.transform.translation, axis, getattr(place.position, axis))
    publisher = live.node.create_publisher(TFMessage, "/tf_static", STATIC)
    publisher.publish(TFMessage(transforms=[entry]))

    def placed() -> Any:
        found = answer(live)
        return found if found[1].success else None

    poses, status = live.wait(placed, "poses in the target frame", 300)
    bundle = load_bundle(MODEL)
    expected, alike = (
        [pose for pose in bundle.pipeline(live.camera.frame) if pose.score >= 0.5],
        AlikePoses(bundle.objects),
    )
    received = poses_of(poses)
    assert poses.header.frame_id == "base" and status.header.frame_id == "camera"
    assert expected and [pose.object_id for pose in received] == [pose.object_id for pose in expected]
    for ours, theirs in zip(received, expected, strict=True):
        # Two processes round differently, and the roll of a round part is arbitrary.
        assert alike.distance_m(ours.object_id, ours.T_cam_obj, T_BASE_CAM @ theirs.T_cam_obj) < 2e-3
    assert status.code == "OK" and status.reported == len(received) <= status.found
    markers = live.wait(lambda: next((m for m in reversed(live.markers) if len(m.markers) > 1), None), "markers")
    assert {marker.header.frame_id for marker in markers.markers} == {"base"}
    transforms = live.wait(lambda: live.frames and live.frames[-1].transforms, "transforms")
    assert all(t.header.frame_id == "base" and t.child_frame_id.startswith("left/") for t in transforms)
    live.wait(lambda: "TF_MISSING" not in live.status("bin_picking")["codes"], "diagnostics without the code")


def test_a_misspelled_parameter_is_logged_once_with_the_nearest(live: Any) -> None:
    assert "UNKNOWN_PARAMETER" in live.status("bin_picking")["codes"]
    assert live.log("bin_picking").count("did you mean 'threshold'?") == 1
