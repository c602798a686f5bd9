from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_grasping.arm import ArmConfig
from binpose_grasping.arm_collision import description
from binpose_grasping.franka_arm import FrankaArm
from binpose_grasping.urdf_arm import UrdfArm

from .conftest import needs_panda

for library in ("pinocchio", "frankik"):
    pytest.importorskip(library, reason="the extra `robot` is not installed")
pytestmark = needs_panda


def config(**changes: str) -> ArmConfig:
    path, base, hand = description(ArmConfig(name="fer"))
    return ArmConfig(**{"name": "urdf", "urdf": str(path), "base_frame": base, "hand_frame": hand, **changes})


def test_the_pandas_urdf_has_the_kinematics_of_the_analytic_arm(rng: np.random.Generator) -> None:
    urdf, analytic = UrdfArm(config()), FrankaArm(ArmConfig(name="fer"))
    joints = rng.uniform(analytic.lower, analytic.upper, (20, 7))
    np.testing.assert_allclose(urdf.forward(joints), analytic.forward(joints), atol=1e-9)
    np.testing.assert_allclose(urdf.jacobian(joints), analytic.jacobian(joints), atol=1e-9)
    np.testing.assert_allclose(urdf.lower, analytic.lower, atol=1e-4)


def test_solutions_reach_their_poses_within_the_limits(rng: np.random.Generator) -> None:
    arm = UrdfArm(config())
    joints = rng.uniform(arm.lower, arm.upper, (5, 7))
    found = 0
    for T in arm.forward(joints):
        solutions = arm.solutions(T)
        found += len(solutions) > 0
        if len(solutions):
            assert np.abs(arm.forward(solutions)[:, :3, 3] - T[:3, 3]).max() < 1e-4
            assert (solutions >= arm.lower).all() and (solutions <= arm.upper).all()
    assert found >= 3


def test_a_straight_path_is_followed() -> None:
    arm = UrdfArm(config())
    T = arm.forward(FrankaArm(ArmConfig(name="fer")).home[None])[0]
    line = np.tile(T, (4, 1, 1))
    line[:, 2, 3] -= 0.02 * np.arange(4)
    path = arm.follow(line, arm.solutions(line[0])[0], 0.5)
    assert path is not None
    np.testing.assert_allclose(arm.forward(path), line, atol=1e-4)


def test_a_frame_that_the_urdf_does_not_have_is_named_with_the_known_ones() -> None:
    with pytest.raises(BinposeError, match=r"has no frame 'flange'; expected one of .*panda_link8.*; correct the name"):
        UrdfArm(config(hand_frame="flange"))


def test_a_damaged_urdf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arm.urdf").write_text("<robot name='x'><link")
    with pytest.raises(BinposeError, match=r"Could not read the URDF .*expected a robot description"):
        UrdfArm(config(urdf=str(tmp_path / "arm.urdf")))
