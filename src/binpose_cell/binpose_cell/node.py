"""The node `simulated_cell`: a simulated bin that is emptied with the grasps of the graph."""

import math
import threading
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger

from binpose_cell.figures import end_of
from binpose_cell.node_settings import CellNodeSettings
from binpose_cell.picking_cell import PickingCell, Try
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Drag, Grasp
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.learning.model_store import ModelStore
from binpose_core.learning.stored_parts import assemble, stored_objects
from binpose_ros.camera_outputs import CameraImage, CameraOutputs
from binpose_ros.grasp_messages import to_drag, to_grasp
from binpose_ros.lifecycle import ManagedNode, guarded
from binpose_ros.parameters import Parameters
from binpose_ros.pick_messages import pick_message
from binpose_ros.poses import transform_messages
from binpose_ros.results import STATUS
from binpose_ros.running import prepare_process, run_node
from binpose_ros.stamps import Header, from_header
from binpose_simulation.scene import visible_truth

OUTCOMES = "pick_outcomes"
GRASPS_ARRIVED, DRAGGED = "Grasps for the image arrived", "A part is dragged to where it may have a free grasp"
SHOWS, SHOWN_S = 3, 0.4
"""Least number of times that an image is published, and the time between them: a recorder keeps scenes that rest."""
PATIENCE_S = 0.8
"""When the process ends: for callbacks, such as the preparation of parts, and for the thread of the cell."""
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class _Interrupted(Exception):
    """The node is deactivated while the physics runs."""


class SimulatedCellNode(ManagedNode):
    """Publishes an image of the bin, takes the best of its grasps, executes it, and publishes the outcome.

    While it waits, the same image is published again with new stamps. Grasps of earlier images do not count. A frame
    that a stage could not process is no answer; one without grasps is, and the next image has other noise.
    """

    patience_s = PATIENCE_S

    def __init__(self, **options: Any) -> None:
        super().__init__("simulated_cell", **options)
        self._cell: PickingCell | None = None
        self.parameters = Parameters(self, CellNodeSettings(), lambda: self._cell is not None)
        for problem in self.parameters.problems():
            self.get_logger().warning(problem.message)
        self._seed, self._wanted = self.settings.seed, 0.0  # number of tries that are still wanted
        self._thread: threading.Thread | None = None
        self._closing = self._interrupted = False
        self._working = threading.Lock()  # held while the bin or its parts change
        self._changed = threading.Condition()
        self._stamps: set[int] = set()  # of the current image
        # By stamp of the current image: GraspArrays and why they have no grasps; the first pair is the answer.
        self._arrays: dict[int, Any] = {}
        self._reasons: dict[int, str] = {}
        self._answer: tuple[Any, str] | None = None
        self._requests = 0  # of tries, which `_wanted` is the number of
        self._image: CameraImage | None = None
        group = MutuallyExclusiveCallbackGroup()
        for name, callback in (
            ("reset", self._reset), ("start", self._start), ("stop", self._stop), ("step", self._step)
        ):  # fmt: skip
            self.create_service(Trigger, f"~/{name}", callback, callback_group=group)
        answers = MutuallyExclusiveCallbackGroup()
        types, name = self.types, "grasp_publisher"
        self.create_subscription(types.GraspArray, f"{name}/grasps", self._grasps, 5, callback_group=answers)
        self.create_subscription(types.FrameStatus, f"{name}/status", self._status, STATUS, callback_group=answers)

    # --- Lifecycle ----------------------------------------------------------------------------------------------------

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fill the bin."""
        settings = self.settings
        if not settings.model:
            raise BinposeError("No model is set; expected the folder of a model store with the parts; set `model`.")
        stored = ModelStore(settings.model).load()
        objects = assemble(stored, lambda: stored_objects(stored))
        self.get_logger().info("Preparing the parts for the physics; the first time this takes up to minutes.")
        self._parts = settings.prepared(objects)
        self._cell = self._filled(self._seed)
        self._outputs = CameraOutputs(self, settings.frame_id, settings.depth_encoding, objects, stored.version)
        self._outcomes = self.output("PickOutcome", OUTCOMES)
        self._static = self.create_publisher(self.types.TFMessage, "/tf_static", LATCHED)
        self._publish_frames()
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to publish, and to pick where that is wanted."""
        result = super().on_activate(state)
        self._closing, self._wanted = False, math.inf if self.settings.picking else 0.0
        if self._interrupted:
            self._expected.abort()
            self._interrupted, self._image = False, None
        self._thread = threading.Thread(target=self._run, name="cell", daemon=True)
        self._thread.start()
        self.get_logger().info(f"Active, {self._expected.left} parts in the bin.")
        return result

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Discard the bin."""
        self._outputs.close()
        self.destroy_outputs()
        self.destroy_publisher(self._static)
        self._cell = self._image = None
        return super().on_cleanup(state)

    def close(self) -> None:
        """End the work; at the end of the process, without waiting long for an image that is being rendered."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(None if self.context.ok() else PATIENCE_S)
            self._thread = None

    # --- Work ---------------------------------------------------------------------------------------------------------

    @property
    def _expected(self) -> PickingCell:
        """The cell of a configured node."""
        if self._cell is None:
            raise BinposeError(f"The node is {self.state} and has no bin; expected a configured one; configure it.")
        return self._cell

    def _filled(self, seed: int) -> PickingCell:
        return self.settings.cell(self._parts, seed, self._cell, self._check_interruption)

    def _check_interruption(self, world: object) -> None:
        if self._closing or not self.context.ok():
            raise _Interrupted

    def _run(self) -> None:
        """Publish images and execute grasps until the node is deactivated."""
        while not self._closing and self.context.ok():
            try:
                with self._working:
                    image = self._current()
                self._show(image)
                answer = self._waited()
                if answer is not None:
                    with self._working:
                        if self._image is image:  # else the bin was filled anew meanwhile
                            self._work(*answer)
            except _Interrupted:
                self._interrupted = True
            except Exception as error:
                if self.context.ok():
                    self.get_logger().error(self.describe_error("The simulated cell", error))
                with self._changed:
                    self._wanted = 0.0
                    self._changed.wait_for(lambda: self._closing, 1 / self.settings.rate_hz)

    def _current(self) -> CameraImage:
        """The image of the bin as it is."""
        if self._image is None:
            view = self._expected.look()
            self._image = self._outputs.image(view.frame, visible_truth(view))
            with self._changed:
                self._stamps.clear()
                self._arrays.clear()
                self._reasons.clear()
                self._answer = None
        return self._image

    def _show(self, image: CameraImage) -> None:
        with self._changed:  # An answer is compared with the stamp of its image.
            self._stamps.add(self._outputs.publish(image))

    def _waited(self) -> tuple[Any, str] | None:
        """The answer to the current image, waiting for it until the image is to be published again."""
        with self._changed:
            period_s = 1 / self.settings.rate_hz
            seconds = min(period_s, SHOWN_S) if len(self._stamps) < SHOWS else period_s
            self._changed.wait_for(lambda: self._closing or self._is_ready(), seconds)
            return self._answer if not self._closing and self._is_ready() else None

    def _is_ready(self) -> bool:
        return self._answer is not None and self._wanted > 0 and len(self._stamps) >= SHOWS

    def _work(self, array: Any, reason: str) -> None:
        """Execute the best grasp of an image, and publish what became of it."""
        cell, grasps, drags = self._expected, *self._in_camera(array)
        with self._changed:
            self._image, self._wanted, requests = None, self._wanted - 1, self._requests
        if grasps:
            self.get_logger().info(f"{GRASPS_ARRIVED}: {len(grasps)}.")
        dragged = cell.drags
        found = cell.take(grasps, reason, drags)
        if found is None:
            with self._changed:  # It was no try, unless other requests have come.
                self._wanted += self._requests == requests
            if cell.drags > dragged:
                self.get_logger().info(f"{DRAGGED}. {reason or 'The grasps were improbable.'}")
        else:
            grasp = array.grasps[next(n for n, one in enumerate(grasps) if one is found.grasp)]
            width_m, end = found.result.width_m, end_of(found)
            self._outcomes.publish(pick_message(array, grasp, width_m, found.succeeded, end, self.types))
            self.get_logger().info(_sentence(found, cell))
        if cell.end:
            self._wanted = 0.0
            self.get_logger().info(f"{cell.end} {cell.left} of {cell.parts} parts are left after {cell.tries} tries.")

    def _in_camera(self, array: Any) -> tuple[list[Grasp], list[Drag]]:
        """The grasps and drags of a message in the camera frame."""
        if not (array.grasps or array.drags):
            return [], []
        T_base_cam = self._places[self.settings.frame_id]
        frame = from_header(array).frame_id
        if frame not in self._places:
            raise BinposeError(
                f"Grasps in the frame {frame!r}; expected one of {', '.join(self._places)}; set base_frame of "
                "grasp_publisher."
            )
        T_cam_frame = inverse(T_base_cam) @ self._places[frame]
        grasps = [to_grasp(message).moved(T_cam_frame) for message in array.grasps]
        return grasps, [to_drag(message).moved(T_cam_frame) for message in array.drags]

    @property
    def _places(self) -> dict[str, FloatArray]:
        """T_base_frame (4, 4) of all frames of the cell."""
        return {self.settings.base_frame: np.eye(4), **self.settings.frames(self._expected)}

    def _publish_frames(self) -> None:
        settings, header = self.settings, Header(self.get_clock().now().nanoseconds, self.settings.base_frame)
        places = settings.frames(self._expected)
        transforms = transform_messages(np.stack(list(places.values())), header, list(places), self.types)
        self._static.publish(self.types.TFMessage(transforms=transforms))

    # --- Subscriptions ------------------------------------------------------------------------------------------------

    def _grasps(self, array: Any) -> None:
        with self._changed:
            stamp_ns = from_header(array).stamp_ns
            if self._is_asked(stamp_ns):
                self._arrays[stamp_ns] = array
                if array.grasps:
                    self._reasons[stamp_ns] = ""
                self._answered(stamp_ns)

    def _status(self, status: Any) -> None:
        with self._changed:
            stamp_ns = from_header(status).stamp_ns
            if status.success and not status.reported and self._is_asked(stamp_ns):
                self._reasons[stamp_ns] = str(status.message)
                self._answered(stamp_ns)

    def _is_asked(self, stamp_ns: int) -> bool:
        """Whether the stamp is one of the current image, which has no answer yet; call it with the lock held."""
        return stamp_ns in self._stamps and self._answer is None

    def _answered(self, stamp_ns: int) -> None:
        """Array and reason may have come, in any order; call it with the lock held."""
        if stamp_ns in self._arrays and stamp_ns in self._reasons:
            self._answer = self._arrays[stamp_ns], self._reasons[stamp_ns]
            self._changed.notify_all()

    # --- Services -----------------------------------------------------------------------------------------------------

    def _reset(self, request: Any, response: Any) -> Any:
        """Pour new parts into the bin, with the next seed; picking goes on if it was wanted from the start."""
        try:
            _ = self._expected
            with self._working:
                self._cell = self._filled(self._seed + 1)
                self._seed, self._image = self._seed + 1, None
        except Exception as error:  # Without a response the client would wait for ever.
            response.success, response.message = False, self.describe_error("The simulation", error)
            self.get_logger().error(response.message)
            return response
        return self._want(math.inf if self.settings.picking else 0.0, response, f"The bin of seed {self._seed}.")

    def _start(self, request: Any, response: Any) -> Any:
        return self._want(math.inf, response, "Picking until the bin is empty.")

    def _stop(self, request: Any, response: Any) -> Any:
        return self._want(0.0, response, "No further try; one that has begun is finished.")

    def _step(self, request: Any, response: Any) -> Any:
        return self._want(1.0, response, "One try.")

    def _want(self, tries: float, response: Any, message: str) -> Any:
        """Set the number of tries that are wanted."""
        cell = self._cell
        if cell is None or self.state != "active":
            response.success, response.message = False, f"The node is {self.state}; expected active; activate it first."
        elif cell.end and tries:
            response.success, response.message = False, f"{cell.end} Call ~/reset for a new bin."
        else:
            with self._changed:
                self._wanted, self._requests = tries, self._requests + 1
                self._changed.notify_all()
            response.success, response.message = True, message
        return response


def _sentence(found: Try, cell: PickingCell) -> str:
    return (
        f"Try {cell.tries}: {found.pose.object_id} (pose {found.pose.score:.2f}, grasp {found.grasp.score:.2f}) "
        f"{end_of(found)}, {1e3 * found.result.width_m:.1f} mm between the fingers, {cell.left} parts left."
    )


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(SimulatedCellNode)


if __name__ == "__main__":
    main()
