"""Defaults of the planner; those of the gripper and the grasp search are in their own files."""

from dataclasses import dataclass, field

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.filters import PoseFilter
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.antipodal import AntipodalConfig
from binpose_grasping.gripper import GripperConfig


@dataclass(frozen=True)
class Direction:
    """A direction in the camera's optical frame, of any length.

    x: its component to the right in the image.
    y: its component down in the image.
    z: its component along the viewing axis, away from the camera.
    """

    x: float = setting(0.0, bounds=(-1000.0, 1000.0))
    y: float = setting(0.0, bounds=(-1000.0, 1000.0))
    z: float = setting(1.0, bounds=(-1000.0, 1000.0))

    def __post_init__(self) -> None:
        length = np.linalg.norm([self.x, self.y, self.z])
        if not 1e-6 < length < np.inf:
            raise BinposeError(
                f"Direction ({self.x}, {self.y}, {self.z}): expected a vector that is not zero, such as (0, 0, 1), the "
                "camera's viewing axis."
            )
        check_bounds(self)

    @property
    def unit(self) -> FloatArray:
        """(3,) float64 of length 1."""
        vector = np.array([self.x, self.y, self.z], np.float64)
        return np.asarray(vector / np.linalg.norm(vector))


@dataclass(frozen=True)
class PlannerConfig:
    """Selection of the grasps.

    gripper: the hand.
    antipodal: settings of the grasp search on a part.
    down: direction of approach; the hand retreats in the opposite direction.
    cone_rad: largest angle between `down` and the approach of the hand, in radians.
    min_probability: least probability of a pose to be grasped.
    pregrasp_m: length in metres of the straight approach.
    retreat_m: length in metres of the straight retreat with the part.
    own_m: observed points within this distance in metres of a part's surface belong to the part.
    margin_m: the hand is enlarged by this margin in metres on all sides for collision checks.
    stray_points: largest number of observed points in the hand's path that are treated as sensor errors.
    grid_m: size in metres of the cells in which one observed point is kept.
    tries: number of best grasps per part that are checked.
    per_part: number of best collision-free grasps per part that are published.
    """

    gripper: GripperConfig = field(default_factory=GripperConfig)
    antipodal: AntipodalConfig = field(default_factory=AntipodalConfig)
    down: Direction = field(default_factory=Direction)
    cone_rad: float = setting(0.6, bounds=(0.0, float(np.pi)))
    min_probability: float = setting(PoseFilter.threshold, bounds=FRACTION)
    pregrasp_m: float = setting(0.08, bounds=(0.0, 1.0))
    retreat_m: float = setting(0.1, bounds=(0.0, 1.0))
    own_m: float = setting(0.003, bounds=(1e-6, 0.1))
    margin_m: float = setting(0.001, bounds=(0.0, 0.1))
    stray_points: int = setting(2, bounds=(0, 1000))
    grid_m: float = setting(0.002, bounds=(1e-4, 0.1))
    tries: int = setting(400, bounds=(1, 1000000))
    per_part: int = setting(5, bounds=(1, 1000000))

    def __post_init__(self) -> None:
        check_bounds(self)
