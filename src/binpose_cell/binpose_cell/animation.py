"""An animated picture of the picks, drawn by the project's renderer from the poses of the physics."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from binpose_cell.filled_bin import FilledBin
from binpose_cell.pick_world import AWAY_M, PickWorld
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_bytes
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse
from binpose_core.meshes.mesh import Mesh
from binpose_grasping.gripper import GripperConfig
from binpose_simulation.appearance import AppearanceConfig
from binpose_simulation.example_scene import example_scene
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.materials import MaterialConfig
from binpose_simulation.photograph import PhotographConfig
from binpose_simulation.prepared_parts import PreparedPart
from binpose_simulation.scene import SceneConfig, render_view
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.viewpoint import look_at

Image = npt.NDArray[np.uint8]
TABLE_M = 1.0
LOOK = 1
"""Seed of light and materials: a bright table."""
CORNERS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


@dataclass(frozen=True)
class AnimationConfig:
    """Size and speed of the picture.

    width: of the picture in pixels.
    height: of the picture in pixels.
    frames_per_s: pictures per simulated second.
    speed: factor by which the picture is faster than the simulation.
    quality: of the compression, 1 to 100.
    most: largest number of pictures; later ones are left out.
    """

    width: int = setting(448, bounds=(64, 1920))
    height: int = setting(336, bounds=(64, 1080))
    frames_per_s: float = setting(7.0, bounds=(0.1, 60.0))
    speed: float = setting(1.5, bounds=(0.1, 20.0))
    quality: int = setting(60, bounds=(1, 100))
    most: int = setting(400, bounds=(1, 10000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, eq=False)
class Moment:
    """Poses of the parts (N, 4, 4) and of the hand (4, 4) in the world, and the distance of the fingers."""

    T_world_obj: FloatArray
    T_world_hand: FloatArray
    width_m: float


@dataclass
class MotionRecorder:
    """Records moments of the physics at even intervals; `PickWorld` calls it after each step."""

    config: AnimationConfig = field(default_factory=AnimationConfig)
    moments: list[Moment] = field(default_factory=list)
    _next_s: float = 0.0

    def __call__(self, world: PickWorld) -> None:
        """Record the world if it is time."""
        if world.time_s < self._next_s or len(self.moments) >= self.config.most:
            return
        self._next_s += 1 / self.config.frames_per_s
        self.moments.append(Moment(self._shown(world.poses()), world.hand_pose(), world.width_m()))

    def _shown(self, T_world_obj: FloatArray) -> FloatArray:
        """Removed parts stay where they were seen last."""
        gone = T_world_obj[:, 2, 3] > AWAY_M / 2
        if gone.any() and self.moments:
            T_world_obj[gone] = self.moments[-1].T_world_obj[gone]
        return T_world_obj


def draw_moments(
    moments: Sequence[Moment], filled: FilledBin, gripper: GripperConfig, config: AnimationConfig
) -> list[Image]:
    """Pictures (H, W, 3) of moments, seen from the side."""
    hand = hand_parts(gripper)
    pile = filled.pile_with([(part, np.eye(4)) for part in hand], TABLE_M)
    camera, T_cam_world = _beside(filled, config)
    pictures, scene = [], studio()
    for moment in moments:
        T = np.concatenate([moment.T_world_obj, hand_poses(moment), pile.T_world_obj[-1:]])
        look = np.random.default_rng(LOOK)
        view = render_view(replace(pile, T_world_obj=T), look, scene, camera, T_cam_world, look)
        pictures.append(view.frame.color)
    return pictures


def write_animation(path: Path | str, pictures: Sequence[Image], config: AnimationConfig) -> None:
    """Write pictures as an animated WebP.

    Raises:
        BinposeError: for no pictures, or an OpenCV that cannot write animations.
    """
    if not pictures:
        raise BinposeError(f"No pictures for {path}; expected at least one; record a try.")
    if not hasattr(cv2, "imencodeanimation"):
        raise BinposeError(
            f"OpenCV {cv2.__version__} writes no animated pictures; expected 4.12 or newer; update "
            "opencv-python-headless, or leave out the animation."
        )
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) for picture in pictures]
    animation.durations = [round(1000 / config.frames_per_s / config.speed)] * len(pictures)
    done, content = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, config.quality])
    if not done:
        raise BinposeError(f"OpenCV could not compress {len(pictures)} pictures for {path}; use fewer or smaller ones.")
    write_bytes(path, np.asarray(content, np.uint8).tobytes())


def studio() -> SceneConfig:
    """Even light and a camera without noise: small files, and nothing distracts from the motion."""
    camera = PhotographConfig(
        blur_px=(0.3, 0.4), noise=0.003, exposure=(0.9, 1.0), white_balance=0.02, bloom_share=0.0, vignette_share=0.0,
        mosaic_share=0.0, sharpen_share=0.0, jpeg_share=0.0, mono_share=0.0,
    )  # fmt: skip
    light = AppearanceConfig(MaterialConfig(label_share=0.0), camera, projector_lit_share=0.0, room_level=(0.7, 0.9))
    return replace(example_scene(), appearance=light, sensor=SensorConfig.only("ideal"))


def hand_parts(gripper: GripperConfig) -> list[PreparedPart]:
    """Finger, finger and palm as bodies to be drawn, in the frames of `hand_poses`."""
    low, high = gripper.boxes(-2 * gripper.clearance_m)
    return [_solid(*corners) for corners in zip(low, high, strict=True)]


def hand_poses(moment: Moment) -> FloatArray:
    """(3, 4, 4) T_world_body of `hand_parts`."""
    shift = np.zeros((3, 3))
    shift[:2, 1] = moment.width_m / 2, -moment.width_m / 2
    return moment.T_world_hand @ from_rotation_translation(np.eye(3), shift)


def _solid(low: FloatArray, high: FloatArray) -> PreparedPart:
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3)
    faces = np.concatenate([CORNERS[:, [0, 1, 2]], CORNERS[:, [0, 2, 3]]])
    mesh = Mesh(corners.astype(np.float32), faces.astype(np.int32))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), (), float(np.linalg.norm(high - low)), np.eye(3)[2])


def _beside(filled: FilledBin, config: AnimationConfig) -> tuple[Camera, FloatArray]:
    """A camera that sees the bin and the placed parts, and T_cam_world (4, 4)."""
    focal = 1.35 * config.width
    camera = Camera(focal, focal, (config.width - 1) / 2, (config.height - 1) / 2, config.width, config.height)
    _, high = filled.spec.inner_bounds(filled.spec.height_m)
    middle = np.array([0.0, -1.2 * high[1], filled.spec.height_m + 0.04])
    return camera, inverse(look_at(middle + np.array([0.85, -0.25, 0.62]), middle, np.pi / 2))
