"""The resolver brings a pose back to the points that it was taken from."""

import numpy as np
import torch

from binpose_core.geometry.transforms import exp_so3
from binpose_estimator.annotation_resolver import resolve_poses

BATCH, POINTS = 4, 300


def cloud() -> torch.Tensor:
    """Points without symmetry, about one diameter wide."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, POINTS, 3, generator=random) * torch.tensor([0.3, 0.18, 0.08])


def poses(seed: int, turn_rad: float, move: float) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    values = exp_so3(turn_rad * rng.normal(size=(BATCH, 3))), move * rng.normal(size=(BATCH, 3))
    return tuple(torch.from_numpy(value.astype(np.float32)) for value in values)


def test_a_small_error_is_undone_also_with_half_of_the_points_and_outliers_left_out() -> None:
    model, (rotation, center), (turn, move) = cloud(), poses(0, 1.0, 0.2), poses(1, 0.05, 0.02)
    observed = model @ rotation.transpose(1, 2) + center[:, None]
    valid = torch.zeros(BATCH, POINTS, dtype=torch.bool)
    valid[:, ::2] = True
    observed[:, 1::2] += 5.0
    found = resolve_poses(turn @ rotation, center + move, model, observed, valid, iterations=20)
    torch.testing.assert_close(found[0], rotation, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[1], center, atol=2e-3, rtol=0)


def test_results_are_rotations_and_the_true_pose_stays() -> None:
    model, (rotation, center) = cloud(), poses(0, 1.0, 0.2)
    observed = model @ rotation.transpose(1, 2) + center[:, None]
    every = torch.ones(BATCH, POINTS, dtype=torch.bool)
    for start in (rotation, poses(7, 2.0, 0.0)[0]):
        found, _ = resolve_poses(start, center, model, observed, every, iterations=3)
        identity = torch.eye(3).expand(BATCH, 3, 3)
        torch.testing.assert_close(found @ found.transpose(1, 2), identity, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.linalg.det(found), torch.ones(BATCH), atol=1e-5, rtol=0)
    kept = resolve_poses(rotation, center, model, observed, every)
    torch.testing.assert_close(kept[0], rotation, atol=1e-5, rtol=0)


def test_without_points_the_pose_stays() -> None:
    model, (rotation, center) = cloud(), poses(0, 1.0, 0.2)
    found = resolve_poses(rotation, center, model, torch.zeros_like(model), torch.zeros(BATCH, POINTS) > 0)
    assert torch.equal(found[0], rotation) and torch.equal(found[1], center)
