import numpy as np
import torch

from binpose_core.geometry.transforms import rotation_from_quat_xyzw
from binpose_estimator.quaternions import near_identity, rotation_from_quaternions


def test_agrees_with_numpy_for_any_length(rng: np.random.Generator) -> None:
    quat_xyzw = rng.normal(size=(4, 5, 4)) * 3
    ours = rotation_from_quaternions(torch.from_numpy(quat_xyzw)).numpy()
    np.testing.assert_allclose(ours, rotation_from_quat_xyzw(quat_xyzw), atol=1e-12)


def test_no_regression_is_the_identity() -> None:
    torch.testing.assert_close(
        rotation_from_quaternions(near_identity(torch.zeros(2, 4))), torch.eye(3).repeat(2, 1, 1)
    )
