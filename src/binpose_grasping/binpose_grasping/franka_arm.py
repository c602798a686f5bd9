"""The arms of Franka: analytic inverse kinematics (He and Liu, 2021) by the library frankik.

The arm has seven joints. The last one is the free parameter: for each of its values there are up to four solutions.
Along a straight path it is held, so that the solutions of one branch change continuously.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_grasping.arm import INSTALL, ArmConfig, limits_with_margin

ACCURACY_M, ACCURACY_RAD = 5e-5, 5e-4
FLANGE_M = 0.107
# Modified Denavit-Hartenberg parameters (Craig) of both arms: https://frankarobotics.github.io/docs
DH = np.array(
    [
        [0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088],  # a, metres
        [0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0],  # d, metres
        [0.0, -np.pi / 2, np.pi / 2, np.pi / 2, -np.pi / 2, np.pi / 2, np.pi / 2],  # alpha, radians
    ]
)
HOME_RAD = (0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4)


class FrankaArm:
    """Kinematics of a Franka Emika Robot ("fer", Panda) or Franka Research 3 ("fr3").

    Args:
        config: of the arm.

    Raises:
        BinposeError: if frankik is not installed.
    """

    def __init__(self, config: ArmConfig) -> None:
        self._library = _library()
        self._fr3 = config.name == "fr3"
        kind = "fr3" if self._fr3 else "panda"
        lower, upper = (np.array(getattr(self._library, f"q_{end}_{kind}"), np.float64) for end in ("min", "max"))
        self.lower, self.upper = limits_with_margin(lower, upper, config.limit_margin_rad)
        self.home = np.array(config.home or HOME_RAD, np.float64)
        if self.home.shape != (7,):
            raise BinposeError(f"ArmConfig.home has {len(self.home)} angles; expected 7 for {config.name!r}, or none.")
        self._T_flange_tcp = config.tcp.matrix
        self._T_tcp_flange = inverse(self._T_flange_tcp)
        places = np.linspace(0, 1, config.redundancy + 2)[1:-1]
        self._last_joint = self.lower[6] + places * (self.upper[6] - self.lower[6])

    def forward(self, joints: FloatArray) -> FloatArray:
        """T_base_tcp (N, 4, 4) of joint angles (N, 7)."""
        return np.asarray(_kinematics(np.ascontiguousarray(joints, np.float64), self._T_flange_tcp, DH)[0])

    def jacobian(self, joints: FloatArray) -> FloatArray:
        """(N, 6, 7) velocity and angular velocity of the tool centre point in the base frame."""
        return np.asarray(_kinematics(np.ascontiguousarray(joints, np.float64), self._T_flange_tcp, DH)[1])

    def solutions(self, T_base_tcp: FloatArray) -> FloatArray:
        """Joint angles (K, 7) within the limits, for all tried values of the last joint."""
        T_base_flange = T_base_tcp @ self._T_tcp_flange
        solve, fr3, home = self._library.ik_full, self._fr3, self.home
        found = np.concatenate([solve(T_base_flange, home, last, fr3) for last in self._last_joint])
        return self._right(found, T_base_tcp)

    def follow(self, T_base_tcp: FloatArray, start: FloatArray, jump_rad: float) -> FloatArray | None:
        """Joint angles (W, 7) at poses (W, 4, 4) with the last joint of `start` (7,); None where a joint would jump."""
        flange = T_base_tcp @ self._T_tcp_flange
        solve, fr3, last, joints = self._library.ik, self._fr3, start[6], [start]
        for T in flange[1:]:
            joints.append(solve(T, joints[-1], last, fr3))
        path = np.stack(joints)
        if not self._continuous(path, jump_rad):
            nearest = self._nearest(flange, start)
            if nearest is None or not self._continuous(nearest, jump_rad):
                return None
            path = nearest
        return path if self._exact(path, T_base_tcp).all() else None

    def _continuous(self, path: FloatArray, jump_rad: float) -> bool:
        """Whether a path (W, 7) is within the limits and has no jump; not where a solution is missing (NaN)."""
        inside = (path >= self.lower - 1e-9) & (path <= self.upper + 1e-9)
        return bool(inside.all() and (np.abs(np.diff(path, axis=0)) <= jump_rad).all())

    def _nearest(self, T_base_flange: FloatArray, start: FloatArray) -> FloatArray | None:
        """Of all solutions at each pose, those nearest to the one before: (W, 7)."""
        joints = [start]
        for T in T_base_flange[1:]:
            found = self._library.ik_full(T, joints[-1], start[6], self._fr3)
            found = found[np.isfinite(found).all(axis=1)]
            if not len(found):
                return None
            joints.append(found[np.abs(found - joints[-1]).max(axis=1).argmin()])
        return np.stack(joints)

    def _right(self, joints: FloatArray, T_base_tcp: FloatArray) -> FloatArray:
        """The solutions within the limits that reach the pose: the library's are inexact near singularities."""
        with np.errstate(invalid="ignore"):
            joints = joints[((joints >= self.lower) & (joints <= self.upper)).all(axis=1)]
        return np.asarray(joints[self._exact(joints, T_base_tcp)])

    def _exact(self, joints: FloatArray, T_base_tcp: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) whether joints (N, 7) reach the poses (N, 4, 4) or (4, 4)."""
        error = np.abs(self.forward(joints) - T_base_tcp)
        return np.asarray(
            (error[:, :3, 3] < ACCURACY_M).all(axis=1) & (error[:, :3, :3] < ACCURACY_RAD).all(axis=(1, 2))
        )


@numba.njit(cache=True, inline="always")
def _move_on(T, link):  # type: ignore[no-untyped-def]
    """Replace T (3, 4) by its product with a link's motion (3, 4)."""
    for row in range(3):
        a, b, c = T[row, 0], T[row, 1], T[row, 2]
        T[row, 3] += a * link[0, 3] + b * link[1, 3] + c * link[2, 3]
        for column in range(3):
            T[row, column] = a * link[0, column] + b * link[1, column] + c * link[2, column]


@numba.njit(cache=True, nogil=True)
def _kinematics(joints, T_flange_tcp, parameters):  # type: ignore[no-untyped-def]
    """T_base_tcp (N, 4, 4) and Jacobians (N, 6, 7) of joints (N, 7)."""
    poses, jacobians = np.zeros((len(joints), 4, 4)), np.zeros((len(joints), 6, 7))
    axes, places, link, T = np.empty((7, 3)), np.empty((7, 3)), np.zeros((3, 4)), np.empty((3, 4))
    cosines, sines = np.cos(parameters[2]), np.sin(parameters[2])
    for n in range(len(joints)):
        T[:] = 0.0
        T[0, 0] = T[1, 1] = T[2, 2] = 1.0
        for i in range(7):
            a, d, ca, sa = parameters[0, i], parameters[1, i], cosines[i], sines[i]
            c, s = np.cos(joints[n, i]), np.sin(joints[n, i])
            link[0, 0], link[0, 1], link[0, 2], link[0, 3] = c, -s, 0.0, a
            link[1, 0], link[1, 1], link[1, 2], link[1, 3] = s * ca, c * ca, -sa, -sa * d
            link[2, 0], link[2, 1], link[2, 2], link[2, 3] = s * sa, c * sa, ca, ca * d
            _move_on(T, link)
            for k in range(3):
                axes[i, k], places[i, k] = T[k, 2], T[k, 3]
        for k in range(3):
            T[k, 3] += FLANGE_M * T[k, 2]
        _move_on(T, T_flange_tcp)
        poses[n, :3], poses[n, 3, 3] = T, 1.0
        for i in range(7):
            x, y, z = T[0, 3] - places[i, 0], T[1, 3] - places[i, 1], T[2, 3] - places[i, 2]
            jacobians[n, 0, i] = axes[i, 1] * z - axes[i, 2] * y
            jacobians[n, 1, i] = axes[i, 2] * x - axes[i, 0] * z
            jacobians[n, 2, i] = axes[i, 0] * y - axes[i, 1] * x
            jacobians[n, 3:, i] = axes[i]
    return poses, jacobians


def _library() -> Any:
    try:
        import frankik
    except ImportError as error:
        raise BinposeError(f"The arms fer and fr3 need the package frankik; {INSTALL}.") from error
    return frankik
