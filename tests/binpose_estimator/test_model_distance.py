from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import random_rotation
from binpose_estimator.losses import EquivalentPoses, equivalent_poses
from binpose_estimator.model_distance import (
    SurfaceTables,
    check_symmetric_distance,
    model_distance,
    surface_tables,
)

NUMBER = 200


@pytest.fixture(scope="module")
def tables(objects) -> SurfaceTables:
    return surface_tables(list(objects.values()), NUMBER)


@pytest.fixture
def truth(tables, rng) -> EquivalentPoses:
    """One crop of each of the three parts."""
    rotation, center = (torch.from_numpy(v).float() for v in (random_rotation(rng, (3,)), rng.normal(0, 0.1, (3, 3))))
    return equivalent_poses(SimpleNamespace(classes=torch.arange(3), rotation=rotation, center=center), tables.parts)


def predictions(rng, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    rotation, center = random_rotation(rng, (3, number)), rng.normal(0, 0.2, (3, number, 3))
    return torch.from_numpy(rotation).float(), torch.from_numpy(center).float()


def moved(points: torch.Tensor, R: torch.Tensor, t: torch.Tensor) -> np.ndarray:
    return (points @ R.T + t).numpy()


def test_is_the_least_add_of_all_equivalent_poses(tables, truth, rng) -> None:
    """A brute force over the symmetries, for poses so near that the nearest in mean square is the nearest."""
    assert tables.symmetric.tolist() == [True, True, False]
    chosen = torch.tensor([2, 7, 0])
    b = torch.arange(3)
    noise, shift = predictions(rng, 1)
    rotation = truth.rotation[b, chosen] @ torch.matrix_exp(0.05 * (noise - noise.transpose(-1, -2))[:, 0])
    center = truth.center[b, chosen] + 0.05 * shift[:, 0]
    found = model_distance(rotation[:, None], center[:, None], truth, tables.points, tables.symmetric)[:, 0]
    for part in range(3):
        ours = moved(tables.points[part], rotation[part], center[part])
        everything = [
            np.linalg.norm(ours - moved(tables.points[part], R, t), axis=1).mean()
            for R, t, valid in zip(truth.rotation[part], truth.center[part], truth.valid[part], strict=True)
            if valid
        ]
        assert found[part] == pytest.approx(min(everything), rel=1e-3)


def test_nearest_is_equation_6_of_symmetric_parts_and_7_of_the_others(tables, truth, rng) -> None:
    rotation, center = predictions(rng, 3)
    found = model_distance(rotation, center, truth, tables.points, tables.symmetric, "nearest")
    for part in range(3):
        true = moved(tables.points[part], truth.rotation[part, 0], truth.center[part, 0])
        for k in range(3):
            ours = moved(tables.points[part], rotation[part, k], center[part, k])
            paired = np.linalg.norm(ours - true, axis=1)
            nearest = cKDTree(ours).query(true)[0]
            assert found[part, k] == pytest.approx((nearest if part < 2 else paired).mean(), rel=1e-4)


def test_every_equivalent_pose_is_exactly_the_truth(tables, truth) -> None:
    found = model_distance(truth.rotation, truth.center, truth, tables.points, tables.symmetric)
    assert found[truth.valid].max() < 1e-5
    turned = model_distance(truth.rotation, truth.center, truth, tables.points, tables.symmetric, "nearest")
    assert turned[1][truth.valid[1]].max() < 0.06, "the nearest of 200 points is some hundredths of a diameter away"


def test_gradients_are_finite_at_the_truth(tables, truth) -> None:
    rotation, center = truth.rotation[:, :1].clone().requires_grad_(), truth.center[:, :1].clone().requires_grad_()
    for kind in ("equivalent", "nearest"):
        model_distance(rotation, center, truth, tables.points, tables.symmetric, kind).sum().backward()
    assert torch.isfinite(rotation.grad).all() and torch.isfinite(center.grad).all()


def test_another_distance_is_refused() -> None:
    with pytest.raises(BinposeError, match="is 'median'; expected equivalent or nearest"):
        check_symmetric_distance("median")
