"""The links of an arm: together they have the kinematics of the planner, and each can be a body."""

import numpy as np
import pytest

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_grasping.arm import ArmConfig, load_arm
from binpose_grasping.arm_links import ArmBody, arm_body

from .conftest import needs_panda

CONFIG = ArmConfig(name="fer")
pytestmark = needs_panda


@pytest.fixture(scope="module")
def panda() -> ArmBody:
    return arm_body(CONFIG)


def test_the_chain_of_the_links_is_the_forward_kinematics(panda: ArmBody, rng: np.random.Generator) -> None:
    arm = load_arm(CONFIG)
    assert arm is not None
    for joints in rng.uniform(arm.lower, arm.upper, (20, 7)):
        T = np.eye(4)
        for link, angle_rad in zip(panda.links, joints, strict=True):
            T = T @ link.T_parent_link @ from_rotation_translation(exp_so3(angle_rad * link.axis), np.zeros(3))
        np.testing.assert_allclose(T @ panda.T_last_tcp, arm.forward(joints[None])[0], atol=1e-9)


def test_the_limits_are_those_of_the_planner_without_its_margin(panda: ArmBody) -> None:
    arm = load_arm(CONFIG)
    assert arm is not None
    np.testing.assert_allclose([link.lower_rad + 0.05 for link in panda.links], arm.lower, atol=2e-3)
    np.testing.assert_allclose([link.upper_rad - 0.05 for link in panda.links], arm.upper, atol=2e-3)


def test_a_link_has_masses_and_moments_that_a_body_can_have(panda: ArmBody) -> None:
    for link in panda.links:
        small, middle, large = np.linalg.eigvalsh(link.inertia_kg_m2)
        assert link.mass_kg > 0 and small > 0 and large <= small + middle + 1e-9
        assert np.linalg.norm(link.center_m) < 0.25 and link.torque_nm > 0 and link.speed_rad_s > 0


def test_the_hand_of_the_file_is_left_out(panda: ArmBody) -> None:
    """The URDF mounts a hand of 0.73 kg and 0.2 m span on the flange; another gripper takes its place."""
    last = panda.links[-1]
    assert 0.6 < last.mass_kg < 0.9
    assert len(panda.base_hulls) == 1 and all(len(link.hulls) == 1 for link in panda.links)
    assert np.ptp(last.hulls[0], axis=0).max() < 0.15
