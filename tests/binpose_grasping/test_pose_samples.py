from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import rotation_angle_rad
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import RankingConfig
from binpose_grasping.pose_samples import position_sigma_m, sampled_hypotheses

from .conftest import on_table

CONFIG = RankingConfig(samples=400, cell_error_m=0.0)


@pytest.fixture
def pose(bar: ObjectModel) -> PoseEstimate:
    return PoseEstimate("bar", on_table(bar), 0.8)


def test_samples_have_the_covariance_of_the_pose(bar: ObjectModel, pose: PoseEstimate) -> None:
    sigma = np.array([0.001, 0.002, 0.004, 0.01, 0.02, 0.03])
    pose = replace(pose, covariance=np.diag(sigma**2))
    (only,) = sampled_hypotheses(pose, (), {"bar": bar}, CONFIG)
    offsets = bar.center_in(only.T_cam_obj) - bar.center_in(pose.T_cam_obj)
    np.testing.assert_allclose(offsets.std(axis=0), sigma[:3], rtol=0.15)
    angles = rotation_angle_rad(only.T_cam_obj[:, :3, :3], pose.T_cam_obj[:3, :3])
    assert np.sqrt((angles**2).mean()) == pytest.approx(np.linalg.norm(sigma[3:]), rel=0.15)
    np.testing.assert_allclose(only.T_cam_obj[0], pose.T_cam_obj, atol=1e-12)
    assert position_sigma_m(pose, bar, CONFIG) == pytest.approx(np.sqrt((sigma[:3] ** 2).mean()))


def test_a_free_rotation_does_not_move_the_centre(bar: ObjectModel, pose: PoseEstimate) -> None:
    pose = replace(pose, covariance=np.diag([0, 0, 0, 0, 0, np.pi**2]))
    (only,) = sampled_hypotheses(pose, (), {"bar": bar}, CONFIG)
    np.testing.assert_allclose(
        bar.center_in(only.T_cam_obj), np.tile(bar.center_in(pose.T_cam_obj), (400, 1)), atol=1e-9
    )


def test_hypotheses_share_a_probability_of_at_most_one(bar: ObjectModel, cube: ObjectModel, pose: PoseEstimate) -> None:
    others = tuple(Hypothesis("bar", on_table(bar, x), s) for x, s in ((0.01, 0.5), (0.02, 0.3), (0.03, 0.0)))
    pose = replace(
        pose, hypotheses=(Hypothesis("bar", pose.T_cam_obj, 0.8), *others, Hypothesis("nut", np.eye(4), 0.9))
    )
    found = sampled_hypotheses(pose, [Hypothesis("cube", on_table(cube), 0.2)], {"bar": bar, "cube": cube}, CONFIG)
    probabilities = [entry.probability for entry in found]
    np.testing.assert_allclose(probabilities, np.array([0.8, 0.5, 0.3, 0.2]) / 1.8)
    assert [entry.object_id for entry in found] == ["bar", "bar", "bar", "cube"]
    (alone,) = sampled_hypotheses(PoseEstimate("bar", pose.T_cam_obj, 0.6), (), {"bar": bar}, CONFIG)
    assert alone.probability == 0.6
    few = sampled_hypotheses(pose, (), {"bar": bar}, replace(CONFIG, hypotheses=2))
    assert len(few) == 2 and len(few[1].T_cam_obj) == 100


def test_the_same_pose_has_the_same_samples(bar: ObjectModel, pose: PoseEstimate) -> None:
    first, again = (sampled_hypotheses(pose, (), {"bar": bar}, CONFIG)[0].T_cam_obj for _ in range(2))
    np.testing.assert_array_equal(first, again)
