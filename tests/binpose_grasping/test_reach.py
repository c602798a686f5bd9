import numpy as np
import pytest

from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_grasping.arm import Arm, ArmConfig, limit_margin, load_arm, smallest_singular
from binpose_grasping.reach import ReachedPath, reach_paths, straight_line
from binpose_grasping.refusals import Refusal

pytest.importorskip("frankik", reason="the extra `robot` is not installed")
CONFIG = ArmConfig(name="fer")
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def arm() -> Arm:
    found = load_arm(CONFIG)
    assert found is not None
    return found


def at(x_m: float, y_m: float, z_m: float, turn_rad: float = 0.0) -> np.ndarray:
    c, s = np.cos(turn_rad), np.sin(turn_rad)
    T = from_rotation_translation(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), [x_m, y_m, z_m])
    return np.asarray(T @ DOWN)


def raised(T: np.ndarray, by_m: float) -> np.ndarray:
    T = T.copy()
    T[2, 3] += by_m
    return T


def test_paths_follow_the_straight_line_without_a_jump_inside_the_limits(arm: Arm, rng: np.random.Generator) -> None:
    reached = 0
    for _ in range(40):
        grasp = at(rng.uniform(0.3, 0.7), rng.uniform(-0.4, 0.4), rng.uniform(0.0, 0.3), rng.uniform(0, 6.3))
        paths = reach_paths(arm, CONFIG, raised(grasp, 0.08), grasp, raised(grasp, 0.1), most=3)
        for path in [] if isinstance(paths, Refusal) else paths:
            reached += 1
            T = arm.forward(path.joints)
            np.testing.assert_allclose(T[:, :2, 3], np.tile(grasp[:2, 3], (len(T), 1)), atol=1e-4)
            np.testing.assert_allclose(T[path.grasp_waypoint], grasp, atol=1e-3)
            np.testing.assert_allclose(T[0], raised(grasp, 0.08), atol=1e-3)
            np.testing.assert_allclose(T[-1], raised(grasp, 0.1), atol=1e-3)
            assert np.abs(np.diff(path.joints, axis=0)).max() <= CONFIG.jump_rad
            assert (path.joints >= arm.lower - 1e-9).all() and (path.joints <= arm.upper + 1e-9).all()
            assert smallest_singular(arm.jacobian(path.joints)).min() >= CONFIG.least_singular
            assert path.margin == pytest.approx(limit_margin(arm, path.joints).min())
    assert reached > 30


def test_out_of_reach_has_its_reason(arm: Arm) -> None:
    far = at(1.5, 0.0, 0.2)
    assert reach_paths(arm, CONFIG, raised(far, 0.08), far, raised(far, 0.1)) is Refusal.OUT_OF_REACH


def test_a_path_that_leaves_the_workspace_is_refused(arm: Arm) -> None:
    grasp = at(0.5, 0.0, 0.3)
    assert reach_paths(arm, CONFIG, raised(grasp, 0.08), grasp, raised(grasp, 1.5)) is Refusal.PATH


def test_a_stretched_arm_is_singular(arm: Arm) -> None:
    strict = ArmConfig(name="fer", least_singular=0.9)
    grasp = at(0.5, 0.0, 0.2)
    assert reach_paths(arm, strict, raised(grasp, 0.08), grasp, raised(grasp, 0.1)) is Refusal.SINGULAR


def test_the_elbow_nearest_to_home_comes_first(arm: Arm) -> None:
    grasp = at(0.45, 0.1, 0.2)
    paths = reach_paths(arm, CONFIG, raised(grasp, 0.05), grasp, raised(grasp, 0.05), most=2)
    assert isinstance(paths, list) and isinstance(paths[0], ReachedPath)
    home = [np.abs(path.joints[path.grasp_waypoint] - arm.home).sum() - path.margin for path in paths]
    assert home == sorted(home) or abs(home[0] - home[-1]) < 1.0


def test_a_line_keeps_its_rotation_and_its_step(rng: np.random.Generator) -> None:
    start = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    end = start.copy()
    end[:3, 3] += [0.1, 0.0, 0.05]
    line = straight_line(start, end, 0.02)
    np.testing.assert_allclose(line[0], start)
    np.testing.assert_allclose(line[-1], end)
    steps = np.linalg.norm(np.diff(line[:, :3, 3], axis=0), axis=1)
    assert steps.max() <= 0.02 + 1e-12 and np.ptp(steps) < 1e-12
    np.testing.assert_array_equal(line[:, :3, :3], np.tile(start[:3, :3], (len(line), 1, 1)))
    assert len(straight_line(start, start, 0.02)) == 2
