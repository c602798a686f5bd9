"""The cell around the parts: bin and camera as boxes, and where they are."""

from dataclasses import dataclass, field

import numpy as np

from binpose_core.base.settings import about, check_bounds, setting
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation

SIDE_M = (0.0, 5.0)
PLACE_M, ANGLE_RAD = (-10.0, 10.0), (-6.3, 6.3)


@dataclass(frozen=True)
class Placement:
    """A rigid motion: rotations about the fixed axes x, y, z in this order (URDF's rpy), then a translation.

    x_m: position along x in metres.
    y_m: position along y in metres.
    z_m: position along z in metres.
    roll_rad: rotation about x in radians.
    pitch_rad: rotation about y in radians.
    yaw_rad: rotation about z in radians.
    """

    x_m: float = setting(0.0, bounds=PLACE_M)
    y_m: float = setting(0.0, bounds=PLACE_M)
    z_m: float = setting(0.0, bounds=PLACE_M)
    roll_rad: float = setting(0.0, bounds=ANGLE_RAD)
    pitch_rad: float = setting(0.0, bounds=ANGLE_RAD)
    yaw_rad: float = setting(0.0, bounds=ANGLE_RAD)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def matrix(self) -> FloatArray:
        """(4, 4) float64."""
        x, y, z = (exp_so3(angle * axis) for angle, axis in zip(self._angles, np.eye(3), strict=True))
        return from_rotation_translation(z @ y @ x, np.array([self.x_m, self.y_m, self.z_m]))

    @property
    def _angles(self) -> tuple[float, float, float]:
        return self.roll_rad, self.pitch_rad, self.yaw_rad


@dataclass(frozen=True)
class BinConfig:
    """An open box with four walls and a floor.

    size_x_m: inner size along x in metres; 0 for no bin.
    size_y_m: inner size along y in metres; 0 for no bin.
    depth_m: height of the walls above the floor.
    wall_m: thickness of walls and floor.
    placement: of the middle of the floor, z up; in the frame of the arm's base.
    """

    size_x_m: float = setting(0.0, bounds=SIDE_M)
    size_y_m: float = setting(0.0, bounds=SIDE_M)
    depth_m: float = setting(0.1, bounds=SIDE_M)
    wall_m: float = setting(0.005, bounds=(0.0005, 0.5))
    placement: Placement = field(default_factory=Placement, metadata=about("the bin's floor in the base frame"))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class CameraBodyConfig:
    """The housing of the camera as a box about its optical centre.

    size_x_m: side along x of the optical frame in metres; 0 for no box.
    size_y_m: side along y of the optical frame in metres; 0 for no box.
    size_z_m: side along z of the optical frame in metres; 0 for no box.
    """

    size_x_m: float = setting(0.0, bounds=SIDE_M)
    size_y_m: float = setting(0.0, bounds=SIDE_M)
    size_z_m: float = setting(0.0, bounds=SIDE_M)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class CellConfig:
    """What stands around the parts.

    bin: the bin.
    camera_body: the camera's housing.
    camera: placement of the optical frame in the frame of the arm's base (T_base_cam). Without an arm the two frames
        are the same one by default.
    """

    bin: BinConfig = field(default_factory=BinConfig)
    camera_body: CameraBodyConfig = field(default_factory=CameraBodyConfig)
    camera: Placement = field(default_factory=Placement, metadata=about("the camera in the base frame"))


@dataclass(frozen=True, eq=False)
class Boxes:
    """K boxes in the frame of the arm's base: centres and axes (K, 4, 4), half sides (K, 3) in metres."""

    T_base_box: FloatArray
    half_m: FloatArray

    def __len__(self) -> int:
        return len(self.half_m)


def cell_boxes(cell: CellConfig, T_base_cam: FloatArray) -> Boxes:
    """Walls, floor and camera housing.

    Args:
        cell: the cell.
        T_base_cam: (4, 4) of the camera at this frame.
    """
    places, halves = bin_boxes(cell.bin)
    body = np.array([cell.camera_body.size_x_m, cell.camera_body.size_y_m, cell.camera_body.size_z_m])
    if body.all():
        places, halves = np.concatenate([places, T_base_cam[None]]), np.concatenate([halves, body[None] / 2])
    return Boxes(places, halves)


def bin_boxes(config: BinConfig) -> tuple[FloatArray, FloatArray]:
    """Floor and four walls: T_base_box (5, 4, 4) and half sides (5, 3); none without a size."""
    x, y, h, w = config.size_x_m / 2, config.size_y_m / 2, config.depth_m / 2, config.wall_m / 2
    if not (x and y):
        return np.zeros((0, 4, 4)), np.zeros((0, 3))
    centers = np.array([[0, 0, -w], [x + w, 0, h - w], [-x - w, 0, h - w], [0, y + w, h - w], [0, -y - w, h - w]])
    outer_x, outer_y = x + 2 * w, y + 2 * w
    halves = [[outer_x, outer_y, w], [w, outer_y, h + w], [w, outer_y, h + w], [outer_x, w, h + w], [outer_x, w, h + w]]
    return config.placement.matrix @ from_rotation_translation(np.eye(3), centers), np.array(halves)
