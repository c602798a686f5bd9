"""Defaults of the planner; those of the gripper and the grasp search are in their own files."""

from dataclasses import dataclass, field, replace

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.filters import PoseFilter
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import PARALLEL, TOOLS
from binpose_grasping.arm import ArmConfig
from binpose_grasping.cell import CellConfig
from binpose_grasping.drags import DragConfig
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.search_config import PoseErrorConfig, SearchConfig, SuctionConfig

ANY_TOOL = "any"
DOWN_FRAMES = ("camera", "base")


@dataclass(frozen=True)
class Direction:
    """A direction of any length.

    x: its component along x; in the camera frame, to the right in the image.
    y: its component along y; in the camera frame, down in the image.
    z: its component along z; in the camera frame, along the viewing axis and away from the camera.
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


def quick_search() -> SearchConfig:
    """A search of about a second, for parts whose model has no grasps."""
    errors = PoseErrorConfig(samples=4)
    return SearchConfig(
        points=200,
        tilts=1,
        rotations=12,
        pairs=400,
        tested=120,
        kept=120,
        apart=0.07,
        least_success=0.25,
        errors=errors,
    )


@dataclass(frozen=True)
class RankingConfig:
    """The estimate of the probability that a pick succeeds, see docs/grasps.md.

    samples: number of sampled poses of a pose's best hypothesis; others get a quarter of it.
    hypotheses: largest number of hypotheses per pose that grasps are tested for.
    position_m: standard deviation of the position of a pose without covariance, along each axis in metres.
    angle_rad: standard deviation of the rotation of a pose without covariance, about each axis in radians.
    cell_error_m: standard deviation of the calibration between camera and hand, along each axis.
    least_hold: least probability that the grasp holds, given that the pose is right.
    most_covered: largest fraction of a part that others may cover, seen against the direction of approach.
    most_unseen: largest fraction of the fingers at pixels without depth or outside of the image.
    unseen_weight: how much the score depends on that fraction, 0 to 1.
    clear_m: clearance in metres beyond which obstacles do not count.
    quality_weight: how much the score depends on the grasp's relative quality, 0 to 1.
    reach_weight: how much the score depends on the margin to joint limits, 0 to 1.
    easy_reach: margin to joint limits, as a fraction of half a joint's range, from which on it does not count.
    """

    samples: int = setting(12, bounds=(1, 1000))
    hypotheses: int = setting(4, bounds=(1, 100))
    position_m: float = setting(0.001, bounds=(0.0, 0.1))
    angle_rad: float = setting(0.02, bounds=(0.0, 1.0))
    cell_error_m: float = setting(0.001, bounds=(0.0, 0.1))
    least_hold: float = setting(0.4, bounds=FRACTION)
    most_covered: float = setting(0.4, bounds=FRACTION)
    most_unseen: float = setting(0.7, bounds=FRACTION)
    unseen_weight: float = setting(0.5, bounds=FRACTION)
    clear_m: float = setting(0.01, bounds=(0.0, 0.2))
    quality_weight: float = setting(0.3, bounds=FRACTION)
    reach_weight: float = setting(0.2, bounds=FRACTION)
    easy_reach: float = setting(0.2, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PlannerConfig:
    """Selection of the grasps.

    gripper: the parallel hand.
    suction: the suction cup.
    tool: tool of the robot: "parallel", "suction" or "any".
    arm: the robot arm.
    cell: bin, and placement of the camera.
    ranking: the estimated probability that a pick succeeds.
    drag: drags of parts without a probable grasp.
    search: of grasps for parts whose model has none, in place of `binpose grasps`.
    search_missing: whether such parts are searched; otherwise they are not grasped.
    turns: number of directions of approach about the closing line of a grasp.
    down: direction of approach; the hand retreats in the opposite direction.
    down_frame: frame that `down` is given in: "camera" (the optical frame), or "base" (the arm's base).
    cone_rad: largest angle between `down` and the approach of the hand, in radians.
    widest_cone_rad: largest such angle in radians for frames in which no grasp is free within `cone_rad`, such as of
        parts at a wall.
    min_probability: least probability of a pose to be grasped.
    pregrasp_m: length in metres of the straight approach.
    retreat_m: length in metres of the straight retreat with the part.
    own_m: observed points within this distance in metres of a part's surface belong to the part.
    margin_m: the hand is enlarged by this margin in metres on all sides for collision checks.
    stray_points: largest number of observed points in the hand's path that are treated as sensor errors.
    grid_m: distance in metres of the observed points that are checked.
    same_part: poses whose centres are closer than this fraction of the diameter are poses of one part; the less
        probable one is only a further hypothesis.
    tries: number of best grasps per part that are checked.
    enough: number of free grasps per part after which no further ones are checked.
    per_part: number of best grasps per part that are published.
    most: largest number of grasps that are published.
    """

    gripper: GripperConfig = field(default_factory=GripperConfig)
    suction: SuctionConfig = field(default_factory=SuctionConfig)
    tool: str = TOOLS[PARALLEL]
    arm: ArmConfig = field(default_factory=ArmConfig)
    cell: CellConfig = field(default_factory=CellConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    drag: DragConfig = field(default_factory=DragConfig)
    search: SearchConfig = field(default_factory=quick_search)
    search_missing: bool = True
    turns: int = setting(24, bounds=(1, 360))
    down: Direction = field(default_factory=Direction)
    down_frame: str = setting("camera")
    cone_rad: float = setting(0.6, bounds=(0.0, float(np.pi)))
    widest_cone_rad: float = setting(1.0, bounds=(0.0, float(np.pi)))
    min_probability: float = setting(PoseFilter.threshold, bounds=FRACTION)
    pregrasp_m: float = setting(0.08, bounds=(0.0, 1.0))
    retreat_m: float = setting(0.1, bounds=(0.0, 1.0))
    own_m: float = setting(0.003, bounds=(1e-6, 0.1))
    margin_m: float = setting(0.001, bounds=(0.0, 0.1))
    stray_points: int = setting(2, bounds=(0, 1000))
    grid_m: float = setting(0.003, bounds=(1e-4, 0.1))
    same_part: float = setting(0.25, bounds=FRACTION)
    tries: int = setting(2000, bounds=(1, 1000000))
    enough: int = setting(16, bounds=(1, 1000000))
    per_part: int = setting(3, bounds=(1, 1000000))
    most: int = setting(10, bounds=(1, 1000000))

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.tool not in (ANY_TOOL, *TOOLS):
            raise BinposeError(f"PlannerConfig.tool is {self.tool!r}; expected {', '.join((*TOOLS, ANY_TOOL))}.")
        if self.down_frame not in DOWN_FRAMES:
            raise BinposeError(f"PlannerConfig.down_frame is {self.down_frame!r}; expected {' or '.join(DOWN_FRAMES)}.")

    def in_camera(self, T_base_cam: FloatArray) -> "PlannerConfig":
        """The same settings with the direction of approach in the camera frame."""
        if self.down_frame == "camera":
            return self
        down = Direction(*(float(value) for value in T_base_cam[:3, :3].T @ self.down.unit))
        return replace(self, down=down, down_frame="camera")
