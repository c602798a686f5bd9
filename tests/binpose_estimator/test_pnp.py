"""Laws of perspective-n-point: exact projections give the exact pose, and its gradient is that of the minimum."""

import itertools

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import random_rotation
from binpose_estimator.pnp import CameraPose, project, robust_pnp, solve_pnp

BOX = torch.tensor([*itertools.product((-1.0, 1.0), repeat=3), (0.0, 0.0, 0.0)], dtype=torch.float64) / 2


def known_poses(rng: np.random.Generator, count: int, nearest: float = 3.0) -> CameraPose:
    """In any orientation, up to some 20 degrees beside the optical axis; distances in units of the box."""
    distance = rng.uniform(nearest, 15, (count, 1))
    places = np.concatenate([rng.uniform(-0.35, 0.35, (count, 2)), np.ones((count, 1))], 1) * distance
    return CameraPose(torch.from_numpy(random_rotation(rng, (count,))), torch.from_numpy(places))


def boxes(rng: np.random.Generator, count: int, thinnest: float = 0.2) -> torch.Tensor:
    """Corners and centres (count, 9, 3) of boxes of any proportions, not about the origin."""
    sides = torch.from_numpy(rng.uniform(thinnest, 1.0, (count, 1, 3)))
    return BOX * sides + torch.from_numpy(rng.normal(0, 0.3, (count, 1, 3)))


def angle_rad(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a - b).square().sum((-1, -2)) / 8).sqrt().clamp(max=1).asin() * 2


@pytest.mark.parametrize("thinnest", [0.2, 0.01])
def test_exact_projections_give_the_exact_pose(rng: np.random.Generator, thinnest: float) -> None:
    """Of thick boxes and of plates."""
    truth, points = known_poses(rng, 60), boxes(rng, 60, thinnest)
    if thinnest < 0.1:
        points = points * torch.tensor([1.0, 1.0, 0.01])
    found = solve_pnp(points, project(truth, points))
    assert angle_rad(found.rotation, truth.rotation).max() < 1e-6
    torch.testing.assert_close(found.translation, truth.translation, rtol=1e-6, atol=1e-6)
    assert (torch.linalg.det(found.rotation) > 0.999).all()


def test_four_points_are_enough_and_three_are_refused(rng: np.random.Generator) -> None:
    truth, points = known_poses(rng, 50), torch.from_numpy(rng.normal(0, 0.4, (50, 4, 3)))
    image = project(truth, points)
    error = (project(solve_pnp(points, image), points) - image).norm(dim=-1).amax(1)
    assert (error < 1e-6).double().mean() > 0.9, "four points can have a second minimum"
    with pytest.raises(BinposeError, match="from 3 projected points; expected at least 4"):
        solve_pnp(points[:, :3], image[:, :3])


def test_noise_moves_the_pose_in_proportion(rng: np.random.Generator) -> None:
    truth, points = known_poses(rng, 60), boxes(rng, 60)
    noise = torch.from_numpy(rng.normal(0, 1e-4, (60, 9, 2)))
    errors = []
    for scale in (1.0, 2.0):
        found = solve_pnp(points, project(truth, points) + scale * noise)
        errors.append(angle_rad(found.rotation, truth.rotation))
    assert errors[0].median() < 0.01
    assert (errors[1] / errors[0]).median() == pytest.approx(2.0, rel=0.05)


def test_points_without_weight_do_not_count(rng: np.random.Generator) -> None:
    truth, points = known_poses(rng, 20), boxes(rng, 20)
    image, weight = project(truth, points), torch.ones(20, 9, dtype=torch.float64)
    image[:, 2], weight[:, 2] = 5.0, 0.0
    assert angle_rad(solve_pnp(points, image, weight).rotation, truth.rotation).max() < 1e-6


@pytest.mark.parametrize("which", ["points", "image", "weight"])
def test_the_gradient_is_that_of_finite_differences(rng: np.random.Generator, which: str) -> None:
    """Where the projections fit no pose exactly, so that second derivatives of the error matter."""
    truth, points = known_poses(rng, 3), boxes(rng, 3)
    image = project(truth, points) + torch.from_numpy(rng.normal(0, 0.01, (3, 9, 2)))
    values = {"points": points, "image": image, "weight": torch.from_numpy(rng.uniform(0.5, 1.5, (3, 9)))}

    direction = torch.from_numpy(rng.normal(size=values[which].shape))

    def seen(moved: torch.Tensor) -> torch.Tensor:
        pose = solve_pnp(**{**values, which: moved})
        return torch.cat([pose.rotation.flatten(1), pose.translation], 1)

    step, given = 1e-4, values[which].clone().requires_grad_()
    difference = (seen(given.detach() + step * direction) - seen(given.detach() - step * direction)) / (2 * step)
    pose = seen(given)
    for column in (0, 5, 9, 11):
        (gradient,) = torch.autograd.grad(pose[:, column].sum(), given, retain_graph=True)
        along = (gradient * direction).flatten(1).sum(1)
        torch.testing.assert_close(along, difference[:, column], rtol=1e-3, atol=1e-4)


def test_training_through_the_pose_moves_the_projections_to_the_truth(rng: np.random.Generator) -> None:
    truth, points = known_poses(rng, 4), boxes(rng, 4).float()
    truth = CameraPose(truth.rotation.float(), truth.translation.float())
    image = project(truth, points)
    guess = (image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimizer, losses = torch.optim.Adam([guess], lr=4e-3), []
    for _ in range(10):
        pose = solve_pnp(points, guess)
        assert pose.rotation.dtype == torch.float32
        loss = (pose.rotation - truth.rotation).square().sum() + (pose.translation - truth.translation).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_three_wrong_corners_of_nine_change_nothing(rng: np.random.Generator) -> None:
    truth, points = known_poses(rng, 20), boxes(rng, 20)
    image = project(truth, points)
    wrong = torch.from_numpy(np.stack([rng.permutation(9) < 3 for _ in range(20)]))
    far = torch.from_numpy(rng.uniform(0.05, 0.5, (20, 9, 2)) * rng.choice([-1, 1], (20, 9, 2)))
    found = robust_pnp(points, image + far * wrong[..., None], tolerance=1e-3)
    assert angle_rad(found.pose.rotation, truth.rotation).max() < 1e-6
    torch.testing.assert_close(found.pose.translation, truth.translation, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.inliers, ~wrong)


def test_wrong_corners_ruin_what_takes_all_of_them(rng: np.random.Generator) -> None:
    """Otherwise the test above would show nothing."""
    truth, points = known_poses(rng, 20), boxes(rng, 20)
    image = project(truth, points)
    image[:, :3] += 0.2
    assert angle_rad(solve_pnp(points, image).rotation, truth.rotation).median() > 0.1


def test_more_outliers_than_points_to_spare_are_refused(rng: np.random.Generator) -> None:
    points = boxes(rng, 1)
    with pytest.raises(BinposeError, match="6 outliers among 9 points; expected 0 to 5"):
        robust_pnp(points, points[..., :2], tolerance=0.1, outliers=6)
