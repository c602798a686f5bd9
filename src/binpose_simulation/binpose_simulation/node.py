"""The node `simulated_camera`: an RGB-D camera above a simulated bin, with ground-truth poses."""

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import serialize_message
from std_srvs.srv import Trigger

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import PoseEstimate
from binpose_core.learning.model_store import ModelStore
from binpose_core.learning.stored_parts import assemble, stored_objects
from binpose_core.parts.objects import ObjectModel
from binpose_ros.camera_topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from binpose_ros.frames import from_camera, header_of
from binpose_ros.images import from_color, from_depth_m
from binpose_ros.lifecycle import ManagedNode, guarded
from binpose_ros.parameters import Parameters
from binpose_ros.poses import write_poses
from binpose_ros.running import prepare_process, run_node
from binpose_ros.stamps import NS_PER_S, Header
from binpose_simulation.example_scene import example_scene
from binpose_simulation.scene import SimulatedView, render_view, simulate_pile
from binpose_simulation.viewpoint import ViewpointConfig

TRUTH = "~/truth"
KINDS = {INFO_TOPIC: "CameraInfo", COLOR_TOPIC: "Image", DEPTH_TOPIC: "Image", TRUTH: "Detection3DArray"}
Frame = tuple[dict[str, bytearray], list[PoseEstimate]]  # images and camera info, serialized; ground-truth poses


@dataclass(frozen=True)
class CameraSettings:
    """Parameters of the simulated camera.

    model: folder of a model store; its parts fill the bin.
    rate_hz: frames per second.
    views: number of views of the bin, each from another viewpoint, published in turn.
    parts: number of parts in the bin.
    hold: number of frames for which a view is repeated.
    seed: seed of the bin, its light and the viewpoints.
    width: columns of the images, in pixels.
    height: rows of the images, in pixels.
    fov_rad: horizontal field of view in radians.
    depth_encoding: of the depth images: 32FC1 (metres) or 16UC1 (millimetres).
    frame_id: coordinate frame that the headers of the images name.
    autostart: configure and activate without a lifecycle manager.
    """

    model: str = ""
    rate_hz: float = setting(5.0, bounds=(0.01, 200.0), live=True)
    views: int = setting(2, bounds=(1, 100))
    parts: int = setting(14, bounds=(1, 60))
    hold: int = setting(10, bounds=(1, 100000), live=True)
    seed: int = setting(0, bounds=(0, 2**31 - 1))
    width: int = setting(ViewpointConfig.width, bounds=(64, 4096))
    height: int = setting(ViewpointConfig.height, bounds=(64, 4096))
    fov_rad: float = setting(0.8, bounds=(0.1, 2.0))
    depth_encoding: str = "32FC1"
    frame_id: str = "camera_color_optical_frame"
    autostart: bool = True

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.depth_encoding not in ("32FC1", "16UC1"):
            raise BinposeError(f"depth_encoding is {self.depth_encoding!r}; expected 32FC1 or 16UC1.")

    @property
    def camera(self) -> Camera:
        """The intrinsics."""
        focal_px = self.width / 2 / np.tan(self.fov_rad / 2)
        return Camera(focal_px, focal_px, (self.width - 1) / 2, (self.height - 1) / 2, self.width, self.height)


def simulate_views(objects: dict[str, ObjectModel], settings: CameraSettings, seed: int) -> list[SimulatedView]:
    """Views of one bin."""
    rng = np.random.default_rng(seed)
    scene = example_scene()
    scene = replace(scene, content=replace(scene.content, parts=(settings.parts, settings.parts)))
    pile = simulate_pile(rng, objects, scene)
    return [render_view(pile, rng, scene, settings.camera) for _ in range(settings.views)]


class SimulatedCameraNode(ManagedNode):
    """Publishes colour, depth, camera info and the truth, all with one stamp; `~/reset` fills the bin anew."""

    def __init__(self, **options: Any) -> None:
        super().__init__("simulated_camera", **options)
        self._frames: list[Frame] | None = None
        self.parameters = Parameters(self, CameraSettings(), lambda: self._frames is not None)
        self.parameters.on_change.append(self._apply)
        self._timer: Any = None
        self._count = 0
        self._seed = self.settings.seed
        for problem in self.parameters.problems():
            self.get_logger().warning(problem.message)
        self.create_service(Trigger, "~/reset", self._reset, callback_group=MutuallyExclusiveCallbackGroup())

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Simulate the bin."""
        if not self.settings.model:
            raise BinposeError("No model is set; expected the folder of a model store with the parts; set `model`.")
        stored = ModelStore(self.settings.model).load()
        self._objects, self._version = assemble(stored, lambda: stored_objects(stored)), stored.version
        self._frames = self._simulated(self._seed)
        self._publishers_of = {
            topic: self.create_lifecycle_publisher(
                getattr(self.types, kind),
                topic,
                QoSProfile(depth=5),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, kind in KINDS.items()
        }
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start publishing."""
        result = super().on_activate(state)
        self._timer = self.create_timer(1 / self.settings.rate_hz, self._expose)
        self.get_logger().info(f"Active, {self.settings.rate_hz:g} frames per second.")
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Discard the views."""
        for publisher in self._publishers_of.values():
            self.destroy_lifecycle_publisher(publisher)
        self._frames = None
        return super().on_cleanup(state)

    def close(self) -> None:
        """Stop publishing."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    def _apply(self, settings: CameraSettings) -> None:
        if self._timer is not None:
            self._timer.timer_period_ns = int(NS_PER_S / settings.rate_hz)

    def _reset(self, request: Any, response: Any) -> Any:
        if self._frames is None:
            response.success, response.message = (
                False,
                "The camera is not configured and has no bin; configure it first.",
            )
            return response
        try:
            self._frames = self._simulated(self._seed + 1)
        except Exception as error:  # Without a response the client would wait for ever.
            response.success, response.message = False, self.describe_error("The simulation", error)
            self.refuse(response.message)
            return response
        self._seed += 1
        response.success, response.message = True, f"The bin of seed {self._seed}."
        return response

    def _simulated(self, seed: int) -> list[Frame]:
        return [self._messages(view) for view in simulate_views(self._objects, self.settings, seed)]

    def _messages(self, view: SimulatedView) -> Frame:
        """The messages of a view; only the stamp changes from frame to frame."""
        frame = replace(view.frame, frame_id=self.settings.frame_id)
        assert frame.depth_m is not None
        header, types = header_of(frame), self.types
        truth = [
            PoseEstimate(object_id, T, float(visible))
            for object_id, T, visible in zip(view.object_ids, view.T_cam_obj, view.visible_fraction, strict=True)
        ]
        messages = {
            INFO_TOPIC: from_camera(frame.camera, header, types),
            COLOR_TOPIC: from_color(frame.color, header, types),
            DEPTH_TOPIC: from_depth_m(frame.depth_m, header, types, self.settings.depth_encoding),
        }
        images = {topic: bytearray(serialize_message(message)) for topic, message in messages.items()}
        return images, truth

    def _expose(self) -> None:
        frames = self._frames
        if not frames:
            return
        messages, truth = frames[self._count // self.settings.hold % len(frames)]
        self._count += 1
        header = Header(self.get_clock().now().nanoseconds, self.settings.frame_id)
        for topic, data in messages.items():
            # The stamp follows CDR's four-byte header.
            struct.pack_into("<iI", data, 4, *divmod(header.stamp_ns, NS_PER_S))
            self._publishers_of[topic].publish(bytes(data))
        self._publishers_of[TRUTH].publish(write_poses(truth, self._objects, header, self._version))


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(SimulatedCameraNode)


if __name__ == "__main__":
    main()
