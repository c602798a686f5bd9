import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_grasping.arm import ArmConfig
from binpose_grasping.cell import Placement
from binpose_grasping.franka_arm import FrankaArm

LIBRARY = pytest.importorskip("frankik", reason="the extra `robot` is not installed")


@pytest.fixture(scope="module", params=["fer", "fr3"])
def arm(request: pytest.FixtureRequest) -> FrankaArm:
    return FrankaArm(ArmConfig(name=request.param))


def configurations(arm: FrankaArm, rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(arm.lower, arm.upper, (count, 7))


def test_forward_kinematics_are_those_of_the_library(arm: FrankaArm, rng: np.random.Generator) -> None:
    joints = configurations(arm, rng, 50)
    np.testing.assert_allclose(arm.forward(joints), np.stack([LIBRARY.fk(q) for q in joints]), atol=1e-12)


def test_every_solution_reaches_its_pose_within_the_limits(arm: FrankaArm, rng: np.random.Generator) -> None:
    found = 0
    for T in arm.forward(configurations(arm, rng, 100)):
        solutions = arm.solutions(T)
        found += len(solutions) > 0
        if len(solutions):
            assert np.abs(arm.forward(solutions)[:, :3, 3] - T[:3, 3]).max() < 1e-4
            assert np.abs(arm.forward(solutions)[:, :3, :3] - T[:3, :3]).max() < 1e-3
            assert (solutions >= arm.lower).all() and (solutions <= arm.upper).all()
    assert found > 70


def test_the_jacobian_is_the_derivative_of_forward_kinematics(arm: FrankaArm, rng: np.random.Generator) -> None:
    joints, step = configurations(arm, rng, 5), 1e-6
    J = arm.jacobian(joints)
    for n in range(7):
        change = step * np.eye(7)[n]
        before, after = arm.forward(joints - change), arm.forward(joints + change)
        np.testing.assert_allclose((after - before)[:, :3, 3] / 2 / step, J[:, :3, n], atol=1e-7)
        turn = (after[:, :3, :3] - before[:, :3, :3]) / 2 / step @ np.swapaxes(arm.forward(joints)[:, :3, :3], 1, 2)
        np.testing.assert_allclose(np.stack([turn[:, 2, 1], turn[:, 0, 2], turn[:, 1, 0]], -1), J[:, 3:, n], atol=1e-7)


def test_another_tool_moves_the_solutions(rng: np.random.Generator) -> None:
    longer = FrankaArm(ArmConfig(name="fer", tcp=Placement(z_m=0.2, yaw_rad=-np.pi / 4)))
    short = FrankaArm(ArmConfig(name="fer"))
    joints = configurations(short, rng, 3)
    gap = longer.forward(joints)[:, :3, 3] - short.forward(joints)[:, :3, 3]
    np.testing.assert_allclose(gap, (0.2 - 0.1034) * short.forward(joints)[:, :3, 2], atol=1e-12)
    for T in longer.forward(np.tile(short.home, (1, 1))):
        assert np.abs(longer.forward(longer.solutions(T))[:, :3, 3] - T[:3, 3]).max() < 1e-4


def test_a_path_that_goes_nowhere_stays(arm: FrankaArm) -> None:
    T = np.tile(arm.forward(arm.home[None]), (3, 1, 1))
    start = arm.solutions(T[0])[0]
    path = arm.follow(T, start, 0.3)
    assert path is not None
    np.testing.assert_allclose(path, np.tile(start, (3, 1)), atol=1e-6)


def test_a_path_with_a_jump_is_none(arm: FrankaArm) -> None:
    T = np.tile(arm.forward(arm.home[None]), (2, 1, 1))
    T[1, :3, 3] += [0.15, 0.15, 0.0]
    assert arm.follow(T, arm.solutions(T[0])[0], 0.05) is None


def test_a_home_of_another_arm_is_refused() -> None:
    with pytest.raises(BinposeError, match=r"ArmConfig.home has 6 angles; expected 7 for 'fer', or none"):
        FrankaArm(ArmConfig(name="fer", home=(0.0,) * 6))
