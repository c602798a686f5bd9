"""Settings of the grasp search; separate from the search, so that the command line starts without its kernels."""

from dataclasses import dataclass, field

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation


@dataclass(frozen=True)
class ContactConfig:
    """The contact between a finger and a part.

    friction: coefficient of friction.
    edges: number of edges of the pyramid that replaces the friction cone.
    patch_m: radius of the contact patch in metres. A patch under even pressure resists a torque about its normal of 2/3
        friction * patch_m per newton (soft finger); 0 describes a point contact (hard finger).
    """

    friction: float = setting(0.4, bounds=(0.01, 2.0))
    edges: int = setting(8, bounds=(3, 64))
    patch_m: float = setting(0.006, bounds=(0.0, 0.05))

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def cone_rad(self) -> float:
        """Half angle of the friction cone."""
        return float(np.arctan(self.friction))

    @property
    def torsion_m(self) -> float:
        """Torque about the normal per normal force, in metres."""
        return 2 / 3 * self.friction * self.patch_m


@dataclass(frozen=True)
class PoseErrorConfig:
    """Errors of the estimated pose for which grasps are tested.

    samples: number of sampled errors; the first one is no error.
    position_m: standard deviation of the position in metres, along each axis.
    angle_rad: standard deviation of the rotation in radians, about each axis.
    seed: of the samples.
    """

    samples: int = setting(16, bounds=(1, 1024))
    position_m: float = setting(0.0015, bounds=(0.0, 0.1))
    angle_rad: float = setting(0.035, bounds=(0.0, 1.0))
    seed: int = setting(0, bounds=(0, 2**31))

    def __post_init__(self) -> None:
        check_bounds(self)

    def sample(self, center_m: FloatArray) -> FloatArray:
        """T_obj_displaced (S, 4, 4): displacements of a part about a point (3,)."""
        draws = np.random.default_rng(self.seed).normal(size=(self.samples, 6))
        draws[0] = 0.0
        rotation = exp_so3(self.angle_rad * draws[:, 3:])
        return from_rotation_translation(rotation, center_m - rotation @ center_m + self.position_m * draws[:, :3])


@dataclass(frozen=True)
class SuctionConfig:
    """A suction cup and what it can hold.

    enabled: whether suction grasps are searched.
    cup_radius_m: radius of the rim.
    travel_m: how far the rim can bend along the axis to reach the surface.
    tilt_rad: largest angle between the axis and the surface's normal below the rim.
    length_m: from the rim to the tool's body.
    body_m: side of the cubic body behind the cup.
    vacuum_pa: pressure difference.
    density_kg_m3: of the part, for its weight.
    acceleration: largest acceleration of the robot as a multiple of gravity, added to gravity.
    """

    enabled: bool = setting(True)
    cup_radius_m: float = setting(0.008, bounds=(0.001, 0.1))
    travel_m: float = setting(0.001, bounds=(0.0, 0.02))
    tilt_rad: float = setting(0.26, bounds=(0.0, 1.5))
    length_m: float = setting(0.06, bounds=(0.001, 0.5))
    body_m: float = setting(0.06, bounds=(0.001, 0.5))
    vacuum_pa: float = setting(60e3, bounds=(1e3, 101e3))
    density_kg_m3: float = setting(2700.0, bounds=(10.0, 25000.0))
    acceleration: float = setting(1.0, bounds=(0.0, 20.0))

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def force_n(self) -> float:
        """Largest pull along the axis."""
        return float(self.vacuum_pa * np.pi * self.cup_radius_m**2)


@dataclass(frozen=True)
class SearchConfig:
    """The search of grasps on a mesh.

    points: number of surface points from which opposite contacts are searched.
    tilts: number of closing lines per point that are tilted into the friction cone, beside the one along the normal.
    rotations: number of hand orientations about the closing line of each pair of contacts.
    depths: number of positions of the contacts between the tool centre point and the finger tips.
    pairs: largest number of contact pairs; the best ones are used.
    tested: largest number of distinct grasps whose robustness is tested.
    kept: largest number of grasps that are stored, per tool.
    apart: grasps differ if their positions are this fraction of the part's diameter apart.
    apart_rad: or if their orientations differ by this angle.
    least_success: least fraction of pose errors under which a stored grasp holds.
    contact: friction between fingers and part.
    errors: of the pose.
    """

    points: int = setting(400, bounds=(1, 4096))
    tilts: int = setting(2, bounds=(0, 32))
    rotations: int = setting(16, bounds=(1, 360))
    depths: int = setting(3, bounds=(1, 20))
    pairs: int = setting(1000, bounds=(1, 100000))
    tested: int = setting(400, bounds=(1, 10000))
    kept: int = setting(200, bounds=(1, 10000))
    apart: float = setting(0.1, bounds=(0.0, 1.0))
    apart_rad: float = setting(0.35, bounds=(0.0, 3.2))
    least_success: float = setting(0.3, bounds=(0.0, 1.0))
    contact: ContactConfig = field(default_factory=ContactConfig)
    errors: PoseErrorConfig = field(default_factory=PoseErrorConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
