"""Robot arms: names, settings, and what the planner needs of an arm."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import about, check_bounds, setting
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.cell import Placement

NONE, FRANKA, URDF = "none", ("fer", "fr3"), "urdf"
ARMS = (NONE, *FRANKA, URDF)
FRANKA_TCP = Placement(z_m=0.1034, yaw_rad=-np.pi / 4)
INSTALL = "install the extra: pip install 'binpose[robot]'"


@dataclass(frozen=True)
class ArmConfig:
    """The robot arm.

    name: "fer" (Franka Emika Robot, also known as Panda), "fr3" (Franka Research 3), "urdf" for any other arm, or
        "none": grasps are not checked for reach.
    urdf: file that describes the arm, for the name "urdf".
    base_frame: of the URDF; the frame that the camera's placement is given in.
    hand_frame: of the URDF; the frame that `tcp` is given in. For the Franka arms it is the flange.
    tcp: the hand's tool centre point in the hand frame: x along the fingers' width, y from finger to finger, z along
        the approach. The default is that of the Franka hand at its flange.
    home: joint angles that solutions near to are preferred; empty for the middle of the joints' ranges.
    limit_margin_rad: distance that joints keep from their limits.
    least_singular: least singular value of the Jacobian (rotations in rad, translations in m).
    redundancy: number of values tried for the redundant joint (Franka), or of start configurations (URDF).
    step_m: distance of the points at which a straight path is checked.
    jump_rad: largest change of a joint between two of these points.
    collisions: whether the links are checked for collisions with the cell, found parts and each other.
    """

    name: str = setting(NONE)
    urdf: str = setting("")
    base_frame: str = setting("")
    hand_frame: str = setting("")
    tcp: Placement = field(default_factory=lambda: FRANKA_TCP, metadata=about("the arm's tool centre point"))
    home: tuple[float, ...] = ()
    limit_margin_rad: float = setting(0.05, bounds=(0.0, 1.0))
    least_singular: float = setting(0.03, bounds=(0.0, 1.0))
    redundancy: int = setting(12, bounds=(1, 200))
    step_m: float = setting(0.02, bounds=(0.001, 0.2))
    jump_rad: float = setting(0.35, bounds=(0.01, 3.2))
    collisions: bool = setting(True)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.name not in ARMS:
            raise BinposeError(
                f"Unknown arm {self.name!r}; expected one of {', '.join(ARMS)}; for any other arm choose 'urdf' and "
                "give its file."
            )
        if self.name == URDF and not (self.urdf and self.base_frame and self.hand_frame):
            raise BinposeError(
                f"The arm 'urdf' with urdf={self.urdf!r}, base_frame={self.base_frame!r} and hand_frame="
                f"{self.hand_frame!r}; expected all three; give the file and two of its frames."
            )


class Arm(Protocol):
    """Kinematics of an arm. T_base_tcp is the hand's tool centre point in the frame of the arm's base."""

    @property
    def lower(self) -> FloatArray:
        """(J,) lower limits, narrowed by the margin."""
        ...

    @property
    def upper(self) -> FloatArray:
        """(J,) upper limits, narrowed by the margin."""
        ...

    @property
    def home(self) -> FloatArray:
        """(J,) preferred joint angles."""
        ...

    def forward(self, joints: FloatArray) -> FloatArray:
        """T_base_tcp (N, 4, 4) of joint angles (N, J)."""
        ...

    def jacobian(self, joints: FloatArray) -> FloatArray:
        """(N, 6, J) velocity and angular velocity of the tool centre point in the base frame."""
        ...

    def solutions(self, T_base_tcp: FloatArray) -> FloatArray:
        """Joint angles (K, J) within the limits that reach a pose (4, 4) within 0.1 mm, K may be 0."""
        ...

    def follow(self, T_base_tcp: FloatArray, start: FloatArray, jump_rad: float) -> FloatArray | None:
        """Joint angles (W, J) at poses (W, 4, 4), from `start` (J,) at the first one.

        None where a joint would change by more than `jump_rad` between two poses, or leave its limits.
        """
        ...


def load_arm(config: ArmConfig) -> Arm | None:
    """The arm; None for the name "none".

    Raises:
        BinposeError: if a library or file is missing, or a frame is not in it.
    """
    if config.name == NONE:
        return None
    if config.name in FRANKA:
        from binpose_grasping.franka_arm import FrankaArm

        return FrankaArm(config)
    from binpose_grasping.urdf_arm import UrdfArm

    if not Path(config.urdf).is_file():
        raise BinposeError(f"No file {config.urdf}; expected the URDF of the arm; check the path.")
    return UrdfArm(config)


def limits_with_margin(lower: FloatArray, upper: FloatArray, margin_rad: float) -> tuple[FloatArray, FloatArray]:
    """Joint limits, narrowed by the margin but never beyond their middle."""
    margin = np.minimum(margin_rad, (upper - lower) / 4)
    return lower + margin, upper - margin


def limit_margin(arm: Arm, joints: FloatArray) -> FloatArray:
    """(N,) in [0, 1]: 1 if all joints (N, J) are in the middle of their ranges, 0 if one is at its limit."""
    half = (arm.upper - arm.lower) / 2
    return np.asarray((1 - np.abs(joints - (arm.upper + arm.lower) / 2) / half).min(axis=-1))


def smallest_singular(jacobian: FloatArray) -> FloatArray:
    """(N,) smallest singular value of Jacobians (N, 6, J)."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(jacobian @ np.swapaxes(jacobian, -1, -2))[..., 0], 0.0))
