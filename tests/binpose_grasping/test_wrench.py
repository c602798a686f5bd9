import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import random_rotation
from binpose_grasping.search_config import ContactConfig
from binpose_grasping.wrench import contact_wrenches, epsilon_quality

ORIGIN = np.zeros(3)


def opposite(radius_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Two contacts at the ends of a diameter along y, and their normals into the ball."""
    points = radius_m * np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    return points, -points / radius_m


def test_the_ball_in_a_cross_polytope_has_the_known_radius() -> None:
    corners = np.concatenate([np.eye(6), -np.eye(6)])
    assert epsilon_quality(corners) == pytest.approx(1 / np.sqrt(6))
    assert epsilon_quality(2 * corners) == pytest.approx(2 / np.sqrt(6))


def test_two_soft_fingers_on_a_ball_have_the_quality_of_the_closed_formula() -> None:
    """The weakest wrench mixes tangential force and torsion: mu g / sqrt(mu^2 + g^2), g the torsion by the radius."""
    radius_m, config = 0.03, ContactConfig(friction=0.5, edges=32, patch_m=0.012)
    quality = epsilon_quality(contact_wrenches(*opposite(radius_m), config, ORIGIN, radius_m))
    torsion = config.torsion_m / radius_m

    def formula(friction: float) -> float:
        return friction * torsion / np.hypot(friction, torsion)

    inscribed = config.friction * np.cos(np.pi / config.edges)
    assert formula(inscribed) - 1e-9 <= quality <= formula(config.friction) + 1e-9


def test_two_point_contacts_cannot_resist_a_torque_about_their_line() -> None:
    config = ContactConfig(patch_m=0.0)
    assert epsilon_quality(contact_wrenches(*opposite(0.02), config, ORIGIN, 0.02)) == 0.0


def test_contacts_that_pull_apart_or_on_one_side_have_no_force_closure() -> None:
    points, inward = opposite(0.02)
    config = ContactConfig()
    assert epsilon_quality(contact_wrenches(points, -inward[::-1] * [1, 0, 0] + [1, 0, 0], config, ORIGIN, 0.02)) == 0
    same_side = np.stack([points[0], points[0] + [0.01, 0, 0]])
    assert epsilon_quality(contact_wrenches(same_side, np.stack([inward[0]] * 2), config, ORIGIN, 0.02)) == 0.0


def test_the_quality_rises_with_friction_and_patch_and_with_a_third_finger(rng: np.random.Generator) -> None:
    points, inward = opposite(0.02)

    def quality(config: ContactConfig, points: np.ndarray = points, inward: np.ndarray = inward) -> float:
        return epsilon_quality(contact_wrenches(points, inward, config, ORIGIN, 0.02))

    assert quality(ContactConfig(friction=0.2)) < quality(ContactConfig(friction=0.4))
    assert quality(ContactConfig(patch_m=0.003)) < quality(ContactConfig(patch_m=0.006))
    third = np.array([[0.02, 0.0, 0.0]])
    more = quality(ContactConfig(), np.concatenate([points, third]), np.concatenate([inward, -third / 0.02]))
    assert more >= quality(ContactConfig()) - 1e-12


def test_a_rigid_motion_changes_nothing_with_enough_edges(rng: np.random.Generator) -> None:
    points = np.array([[0.0, 0.02, 0.005], [0.001, -0.02, 0.005]])
    inward = np.array([[0.0, -1.0, 0.0], [0.05, 1.0, 0.0]])
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    config = ContactConfig(edges=24)
    quality = epsilon_quality(contact_wrenches(points, inward, config, ORIGIN, 0.03))
    assert quality > 0
    for _ in range(3):
        R, t = random_rotation(rng), rng.normal(size=3)
        moved = epsilon_quality(contact_wrenches(points @ R.T + t, inward @ R.T, config, t, 0.03))
        assert moved == pytest.approx(quality, rel=0.02)  # the pyramids turn about their axes


def test_the_quality_does_not_depend_on_the_unit_of_length() -> None:
    points, inward = opposite(0.02)
    small = epsilon_quality(contact_wrenches(points, inward, ContactConfig(patch_m=0.004), ORIGIN, 0.02))
    large = epsilon_quality(contact_wrenches(3 * points, inward, ContactConfig(patch_m=0.012), ORIGIN, 0.06))
    assert small == pytest.approx(large)


@pytest.mark.parametrize("field", ["friction", "edges"])
def test_nonsense_is_refused(field: str) -> None:
    with pytest.raises(BinposeError, match=f"ContactConfig.{field} is 0; expected"):
        ContactConfig(**{field: 0})
