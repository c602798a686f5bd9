import numpy as np
import torch

from binpose_core.geometry.transforms import random_rotation, rotation_from_quat_xyzw
from binpose_estimator.conditioning import ConditionalInstanceNorm
from binpose_estimator.residual_poses import ResidualPoses

WIDTH, CLASSES = 4, torch.tensor([0, 1])


def example(rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    values = random_rotation(rng, (2,)), rng.normal(size=(2, 3)), rng.normal(size=(2, 9, 3)), rng.random((2, 9, 8))
    return tuple(torch.from_numpy(v).float() for v in values)


def network() -> ResidualPoses:
    torch.manual_seed(0)
    return ResidualPoses(WIDTH, 2, 2, ConditionalInstanceNorm, attention=True)


def test_an_untrained_network_keeps_the_pose(rng: np.random.Generator) -> None:
    rotation, center, points, colors = example(rng)
    rotations, centers = network()(rotation, center, points, colors, CLASSES)
    for step in range(2):
        torch.testing.assert_close(rotations[:, step], rotation)
        torch.testing.assert_close(centers[:, step], center)


def test_steps_are_multiplied_from_the_right(rng: np.random.Generator) -> None:
    """[R_K | t_K] = [R_0 | t_0] d[R_1 | t_1] d[R_2 | t_2], with a network that always says the same step."""
    rotation, center, points, colors = example(rng)
    residuals = network()
    with torch.no_grad():
        residuals.rotation[-1].bias.copy_(torch.tensor([0.1, -0.2, 0.05, 0.0]))
        residuals.center[-1].bias.copy_(torch.tensor([0.3, 0.1, -0.2]))
        rotations, centers = residuals(rotation, center, points, colors, CLASSES)
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = rotation_from_quat_xyzw(np.array([0.1, -0.2, 0.05, 1.0])), [0.3, 0.1, -0.2]
    for b in range(2):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation[b], center[b]
        for k in range(2):
            pose = pose @ step
            np.testing.assert_allclose(rotations[b, k].numpy(), pose[:3, :3], atol=1e-5)
            np.testing.assert_allclose(centers[b, k].numpy(), pose[:3, 3], atol=1e-5)


def test_a_moved_scene_has_the_moved_result(rng: np.random.Generator) -> None:
    """The network sees the points in the part's frame alone: moving points and pose together changes no step."""
    rotation, center, points, colors = example(rng)
    residuals = network()
    torch.nn.init.normal_(residuals.rotation[-1].weight, std=0.1)
    torch.nn.init.normal_(residuals.center[-1].weight, std=0.1)
    R, t = torch.from_numpy(random_rotation(rng)).float(), torch.tensor([0.4, -0.3, 0.2])
    with torch.no_grad():
        rotations, centers = residuals(rotation, center, points, colors, CLASSES)
        moved = residuals(R @ rotation, center @ R.T + t, points @ R.T + t, colors, CLASSES)
    assert not torch.allclose(rotations[:, 1], rotation, atol=0.01)
    torch.testing.assert_close(moved[0], R @ rotations, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved[1], centers @ R.T + t, rtol=1e-3, atol=1e-4)
