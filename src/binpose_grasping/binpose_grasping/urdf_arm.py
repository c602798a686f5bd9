"""Any arm with a URDF: numeric inverse kinematics on Pinocchio's model (damped least squares)."""

from typing import Any

import numpy as np

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.arm import INSTALL, ArmConfig, limits_with_margin

ACCURACY = 2e-5  # metres and radians
ROUNDS, DAMPING, ENOUGH = 60, 1e-6, 3
SEED = 0


class UrdfArm:
    """Kinematics of the joints between two frames of a URDF; all others are locked at zero.

    Args:
        config: with the file and its frames.

    Raises:
        BinposeError: for a file that cannot be read, frames that it does not have, or if Pinocchio is not installed.
    """

    def __init__(self, config: ArmConfig) -> None:
        self._pin = pin = pinocchio()
        model = self._chain(_model(pin, config), config)
        self._model, self._data = model, model.createData()
        self._tip = model.getFrameId(config.hand_frame)
        base = model.getFrameId(config.base_frame)
        pin.framesForwardKinematics(model, self._data, pin.neutral(model))
        self._T_base_world = self._data.oMf[base].inverse().homogeneous
        self._tcp = pin.SE3(config.tcp.matrix)
        lower, upper = np.maximum(model.lowerPositionLimit, -2 * np.pi), np.minimum(model.upperPositionLimit, 2 * np.pi)
        self.lower, self.upper = limits_with_margin(lower, upper, config.limit_margin_rad)
        self.home = np.array(config.home, np.float64) if config.home else (self.lower + self.upper) / 2
        if self.home.shape != (model.nq,):
            raise BinposeError(
                f"ArmConfig.home has {len(self.home)} angles; expected {model.nq}, one for each joint of the chain."
            )
        draws = np.random.default_rng(SEED).uniform(self.lower, self.upper, (config.redundancy - 1, model.nq))
        self._starts = np.concatenate([self.home[None], draws])

    def forward(self, joints: FloatArray) -> FloatArray:
        """T_base_tcp (N, 4, 4) of joint angles (N, J)."""
        return np.stack([self._T_base_world @ self._place(q).homogeneous for q in joints])

    def jacobian(self, joints: FloatArray) -> FloatArray:
        """(N, 6, J) velocity and angular velocity of the tool centre point in the base frame."""
        turn = np.kron(np.eye(2), self._T_base_world[:3, :3])
        return np.stack([turn @ self._jacobian(q, self._pin.LOCAL_WORLD_ALIGNED) for q in joints])

    def solutions(self, T_base_tcp: FloatArray) -> FloatArray:
        """Joint angles (K, J) within the limits, from the start configurations until `ENOUGH` are found."""
        found: list[FloatArray] = []
        for start in self._starts:
            if len(found) < ENOUGH and (q := self._solve(T_base_tcp, start)) is not None:
                found.append(q)
        return np.stack(found) if found else np.zeros((0, len(self.home)))

    def follow(self, T_base_tcp: FloatArray, start: FloatArray, jump_rad: float) -> FloatArray | None:
        """Joint angles (W, J) at poses (W, 4, 4), each found from the one before; None where a joint would jump."""
        joints = [start]
        for T in T_base_tcp[1:]:
            following = self._solve(T, joints[-1])
            if following is None or np.abs(following - joints[-1]).max() > jump_rad:
                return None
            joints.append(following)
        return np.stack(joints)

    def _solve(self, T_base_tcp: FloatArray, start: FloatArray) -> FloatArray | None:
        pin, q = self._pin, start.copy()
        goal = pin.SE3(np.linalg.inv(self._T_base_world) @ T_base_tcp)
        for _ in range(ROUNDS):
            error = pin.log6(self._place(q).actInv(goal))
            if np.abs(error.vector).max() < ACCURACY:
                return np.asarray(q)
            J = pin.Jlog6(goal.actInv(self._place(q))) @ self._jacobian(q, pin.LOCAL)
            change = J.T @ np.linalg.solve(J @ J.T + DAMPING * np.eye(6), error.vector)
            q = np.clip(q + change * min(1.0, 0.5 / max(np.abs(change).max(), 1e-12)), self.lower, self.upper)
        return None

    def _place(self, q: FloatArray) -> Any:
        self._pin.forwardKinematics(self._model, self._data, q)
        return self._pin.updateFramePlacement(self._model, self._data, self._tip) * self._tcp

    def _jacobian(self, q: FloatArray, reference: Any) -> FloatArray:
        pin = self._pin
        local = self._tcp.inverse().action @ pin.computeFrameJacobian(self._model, self._data, q, self._tip, pin.LOCAL)
        if reference == pin.LOCAL:
            return np.asarray(local)
        return np.asarray(np.kron(np.eye(2), self._place(q).rotation) @ local)

    @staticmethod
    def _chain(model: Any, config: ArmConfig) -> Any:
        """The model with the joints of the hand frame's chain alone."""
        for frame in (config.base_frame, config.hand_frame):
            if not model.existFrame(frame):
                known = ", ".join(str(entry.name) for entry in model.frames)
                raise BinposeError(f"{config.urdf} has no frame {frame!r}; expected one of {known}; correct the name.")
        chain = set(model.supports[model.frames[model.getFrameId(config.hand_frame)].parentJoint])
        locked = [number for number in range(1, model.njoints) if number not in chain]
        reduced = pinocchio().buildReducedModel(model, locked, pinocchio().neutral(model)) if locked else model
        if reduced.nq != reduced.nv or not reduced.nq:
            raise BinposeError(
                f"{config.urdf} has {reduced.nv} degrees of freedom with {reduced.nq} values up to "
                f"{config.hand_frame!r}; expected revolute and prismatic joints; give continuous joints limits."
            )
        return reduced


def pinocchio() -> Any:
    """The library.

    Raises:
        BinposeError: if it is not installed.
    """
    try:
        import pinocchio as library
    except ImportError as error:
        raise BinposeError(f"URDF files and collisions of the arm need the package pin; {INSTALL}.") from error
    return library


def _model(pin: Any, config: ArmConfig) -> Any:
    try:
        return pin.buildModelFromUrdf(config.urdf)
    except Exception as error:
        raise BadFile(
            f"Could not read the URDF {config.urdf} ({error}); expected a robot description; check the file.",
            config.urdf,
        ) from error
