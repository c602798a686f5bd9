import numpy as np
import torch

from binpose_core.geometry import transforms
from binpose_core.geometry.tensor_rotations import exp_so3


def test_rotations_are_those_of_arrays(rng: np.random.Generator) -> None:
    vectors = rng.normal(0, 1.5, (20, 3))
    np.testing.assert_allclose(exp_so3(torch.from_numpy(vectors)).numpy(), transforms.exp_so3(vectors), atol=1e-12)


def test_rotations_have_a_gradient_at_zero() -> None:
    vectors = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    R = exp_so3(vectors)
    torch.testing.assert_close(R.detach(), torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    R[:, 0, 1].sum().backward()
    torch.testing.assert_close(vectors.grad[:, 2], -torch.ones(3, dtype=torch.float64))
