"""The node `simulated_camera`: an RGB-D camera above a simulated bin, with ground-truth poses."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.learning.model_store import ModelStore
from binpose_core.learning.stored_parts import assemble, stored_objects
from binpose_core.parts.objects import ObjectModel
from binpose_ros.camera_outputs import DEPTH_ENCODINGS, CameraImage, CameraOutputs
from binpose_ros.lifecycle import ManagedNode, guarded
from binpose_ros.parameters import Parameters
from binpose_ros.running import prepare_process, run_node
from binpose_ros.stamps import NS_PER_S
from binpose_simulation.example_scene import example_scene
from binpose_simulation.scene import SimulatedView, render_view, simulate_pile, visible_truth
from binpose_simulation.viewpoint import ViewpointConfig


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
        if self.depth_encoding not in DEPTH_ENCODINGS:
            raise BinposeError(f"depth_encoding is {self.depth_encoding!r}; expected {' or '.join(DEPTH_ENCODINGS)}.")

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
        self._frames: list[CameraImage] | None = None
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
        self._objects = assemble(stored, lambda: stored_objects(stored))
        settings = self.settings
        self._outputs = CameraOutputs(self, settings.frame_id, settings.depth_encoding, self._objects, stored.version)
        try:
            self._frames = self._simulated(self._seed)
        except Exception:
            self._outputs.close()
            raise
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
        self._outputs.close()
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

    def _simulated(self, seed: int) -> list[CameraImage]:
        views = simulate_views(self._objects, self.settings, seed)
        return [self._outputs.image(view.frame, visible_truth(view)) for view in views]

    def _expose(self) -> None:
        frames = self._frames
        if not frames:
            return
        image = frames[self._count // self.settings.hold % len(frames)]
        self._count += 1
        self._outputs.publish(image)


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(SimulatedCameraNode)


if __name__ == "__main__":
    main()
