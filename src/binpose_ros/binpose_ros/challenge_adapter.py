"""The service `/get_pose_estimates` of the bin-picking challenge, where its package ibpc_interfaces is installed.

The challenge speaks BOP's language: lengths in millimetres, depth in the numbers of the PNG files, cameras as
`T_cam_world`; the result is `T_world_obj`. Source: github.com/opencv/bpc, ibpc_interfaces and ibpc_tester.
"""

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.rgbd_frame import RgbdFrame, undistort
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.objects import ObjectModel
from binpose_ros.frames import to_camera
from binpose_ros.images import DEPTH_ENCODINGS, to_color, to_pixels
from binpose_ros.poses import from_matrices, to_matrix
from binpose_ros.stamps import from_header

SERVICE = "/get_pose_estimates"
MM_PER_M = 1e3


@dataclass(frozen=True)
class ChallengeSettings:
    """Parameters of the service of the bin-picking challenge.

    camera: name (frame id of its camera info) of the only camera that is used; all when empty.
    all_cameras: whether all cameras with colour and depth are used together; otherwise the Photoneo, if it has images,
        or else the first camera that has some. Where cameras contradict each other, those that agree are relied on, or
        else the first one.
    depth_unit_m: metres of one unit of the depth images; the challenge's own data set has tenths of a millimetre.
    object_ids: "<part>=<number>" for parts whose number in requests is not their number in BOP data sets.
    threshold: least score (probability to be right) of a pose in an answer, which is a ranking of all by default.
    """

    camera: str = setting("", live=True)
    all_cameras: bool = setting(True, live=True)
    depth_unit_m: float = setting(1e-4, bounds=(1e-6, 1.0), live=True)
    object_ids: tuple[str, ...] = setting((), live=True)
    threshold: float = setting(0.0, bounds=(0.0, 1.0), live=True)

    def __post_init__(self) -> None:
        check_bounds(self)
        for entry in self.object_ids:
            name, _, number = entry.rpartition("=")
            if not name or not number.isdecimal():
                raise BinposeError(f"challenge.object_ids holds {entry!r}; expected <part>=<number>, such as gear=8.")


JoinViews = Callable[[Any, Sequence[RgbdFrame], Sequence[FloatArray]], tuple[list[PoseEstimate], Sequence[str]]]
"""Poses in the world from a model, frames and T_world_cam (4, 4) of each; also returns what is to be logged."""


class ChallengeService:
    """Offers the service; does nothing but say so where ibpc_interfaces is not installed.

    Args:
        node: a node whose stage makes poses of a frame, with `settings.challenge`.
        join_views: estimates all cameras of a request together; by default only one camera is used.
    """

    def __init__(self, node: Any, join_views: JoinViews | None = None) -> None:
        self._node, self._join_views = node, join_views
        try:
            from ibpc_interfaces.msg import PoseEstimate as Answer
            from ibpc_interfaces.srv import GetPoseEstimates
        except ImportError:
            node.get_logger().debug(f"{SERVICE} is not offered: ibpc_interfaces is not installed.")
            return
        from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

        self._kind = Answer
        node.create_service(GetPoseEstimates, SERVICE, self._serve, callback_group=MutuallyExclusiveCallbackGroup())
        node.get_logger().info(f"Offers {SERVICE}.")

    def _serve(self, request: Any, response: Any) -> Any:
        """The service has no field for an error: the reason is logged, and the answer is empty."""
        try:
            with self._node.monitor.measured("challenge"):
                response.pose_estimates = self._estimate(request)
        except BinposeError as error:
            self._node.get_logger().error(f"{SERVICE}: {error}")
        except Exception:  # The client would wait for ever for an answer that does not come.
            self._node.get_logger().error(traceback.format_exc())
        return response

    def _estimate(self, request: Any) -> list[Any]:
        node, settings = self._node, self._node.settings.challenge
        node.expect_active()
        model = node.models.find("")
        names = names_of(model.objects, settings.object_ids)
        if unknown := sorted(set(request.object_ids) - set(names)):
            node.get_logger().warning(
                f"{SERVICE} requests objects {unknown}; the model knows "
                f"{', '.join(f'{number} ({name})' for number, name in sorted(names.items()))}."
            )
        wanted = {names[number] for number in request.object_ids if number in names}
        if not wanted:
            return []
        poses, T_here_world = self._poses(request, model)
        kept = [pose for pose in poses if pose.object_id in wanted and pose.score >= settings.threshold]
        return from_poses(kept, T_here_world, names, self._kind, node.types)

    def _poses(self, request: Any, model: Any) -> tuple[Sequence[PoseEstimate], FloatArray]:
        """The poses from all cameras in the world, or from one in its frame, and the world in that frame."""
        settings = self._node.settings.challenge
        cameras = usable_cameras(request, settings.camera)
        if settings.all_cameras and self._join_views is not None and len(cameras) > 1:
            frames, T_world_cam, notes = self._readable(cameras)
            poses, verdicts = self._join_views(model, frames, T_world_cam)
            for note in (*notes, *verdicts):
                self._node.get_logger().info(f"{SERVICE}: {note}")
            return poses, np.eye(4)
        return model.stage(to_frame(cameras[0], settings.depth_unit_m)), T_cam_world(cameras[0])

    def _readable(self, cameras: Sequence[Any]) -> tuple[list[RgbdFrame], list[FloatArray], list[str]]:
        """The frames of the cameras that can be used, where they are, and what is wrong with the others.

        Raises:
            BinposeError: when none can be used.
        """
        frames: list[RgbdFrame] = []
        places: list[FloatArray] = []
        problems: list[BinposeError] = []
        for camera in cameras:
            try:
                place = inverse(T_cam_world(camera))
                frames.append(to_frame(camera, self._node.settings.challenge.depth_unit_m))
                places.append(place)
            except BinposeError as error:
                problems.append(error)
        if not frames:
            raise problems[0]
        return frames, places, [str(problem) for problem in problems]


def names_of(objects: Mapping[str, ObjectModel], given: Collection[str] = ()) -> dict[int, str]:
    """The parts' names by their numbers in requests.

    Args:
        objects: the model's parts by name; a part's own number is that in BOP data sets.
        given: "<part>=<number>" where it is another one.

    Raises:
        BinposeError: for a part that the model does not know, or two parts with one number.
    """
    numbers = {name: part.bop_id for name, part in objects.items()}
    for entry in given:
        name, _, number = entry.rpartition("=")
        if name not in objects:
            raise UnknownObject(
                f"challenge.object_ids names {name!r}; expected one of {', '.join(objects)}.", [name], objects
            )
        numbers[name] = int(number)
    names = {number: name for name, number in numbers.items()}
    if len(names) < len(numbers):
        twice = ", ".join(f"{name}={number}" for name, number in numbers.items() if names[number] != name)
        raise BinposeError(
            f"challenge.object_ids gives two parts one number ({twice}); expected one each; name both in it."
        )
    return names


def choose_camera(request: Any, name: str = "") -> Any:
    """The first of `usable_cameras`."""
    return usable_cameras(request, name)[0]


def usable_cameras(request: Any, name: str = "") -> list[Any]:
    """The cameras of a request whose images are used, the Photoneo first; see `ChallengeSettings.camera`.

    Raises:
        BinposeError: when none has colour and depth, or none has that name.
    """
    cameras = [request.photoneo, *request.cameras]
    usable = [camera for camera in cameras if len(camera.rgb.data) and len(camera.depth.data)]
    chosen = [camera for camera in usable if name in ("", camera.info.header.frame_id)]
    if chosen:
        return chosen
    known = ", ".join(repr(camera.info.header.frame_id) for camera in usable) or "none"
    raise BinposeError(
        f"None of the request's cameras with colour and depth ({known}) can be used; expected "
        f"{f'the one that challenge.camera names, {name!r}' if name else 'one at least'}."
    )


def to_frame(camera: Any, depth_unit_m: float) -> RgbdFrame:
    """The frame of a Camera or Photoneo message.

    Size and header of the images count, because the challenge fills in no more than K and the frame id of the camera
    info.

    Raises:
        BinposeError: when the images cannot be used, or their depth is of another unit.
    """
    info, depth = camera.info, camera.depth
    header = from_header(info)
    if depth.encoding not in DEPTH_ENCODINGS:
        raise BinposeError(
            f"The depth image of {header.frame_id!r} has encoding {depth.encoding!r}; expected one of "
            f"{', '.join(DEPTH_ENCODINGS)}."
        )
    info.width, info.height = camera.rgb.width, camera.rgb.height
    depth_m = to_pixels(depth).astype(np.float32) * np.float32(depth_unit_m)
    name = f"{header.frame_id} (challenge.depth_unit_m: {depth_unit_m:g})"
    return undistort(RgbdFrame(to_color(camera.rgb), depth_m, to_camera(info), header.stamp_ns, header.frame_id, name))


def T_cam_world(camera: Any) -> FloatArray:
    """The pose (4, 4) of the world in the camera, in metres.

    Raises:
        BinposeError: when the message's pose is none.
    """
    T = to_matrix(camera.pose)
    if not np.isfinite(T).all():
        raise BinposeError(
            f"The pose of camera {camera.info.header.frame_id!r} has numbers that are not finite, or a quaternion of "
            "length 0; expected the world in the camera, in millimetres."
        )
    T[:3, 3] /= MM_PER_M
    return T


def from_poses(
    poses: Sequence[PoseEstimate], T_cam_world: FloatArray, names: Mapping[int, str], kind: Any, types: Any
) -> list[Any]:
    """PoseEstimate messages: each part in the world, in millimetres.

    Args:
        poses: in the camera, in metres.
        T_cam_world: (4, 4), in metres.
        names: of the parts, by their numbers.
        kind: class of the messages.
        types: see `message_types.MessageTypes`.
    """
    if not poses:
        return []
    numbers = {name: number for number, name in names.items()}
    T_world_obj = inverse(T_cam_world) @ np.stack([pose.T_cam_obj for pose in poses])
    T_world_obj[:, :3, 3] *= MM_PER_M
    return [
        kind(obj_id=numbers[pose.object_id], score=float(pose.score), pose=message)
        for pose, message in zip(poses, from_matrices(T_world_obj, types), strict=True)
    ]
