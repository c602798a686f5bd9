from dataclasses import replace

import numpy as np
import torch

from binpose_core.geometry.transforms import exp_so3, random_rotation
from binpose_estimator.pixel_head import PixelPoseHead, PixelPoses
from binpose_estimator.presets import DenseFusionPreset

PRESET = DenseFusionPreset(width=4, points=10, hypotheses=3)


def prediction_of(rotation: np.ndarray, center: np.ndarray, confidence: np.ndarray, refined: bool) -> PixelPoses:
    """Of two crops; where refined, the pose is one that no point has."""
    tensor = lambda a: torch.from_numpy(np.asarray(a, np.float32))  # noqa: E731
    number = 2 if refined else 0
    return PixelPoses(
        tensor(rotation), tensor(center), tensor(confidence),
        torch.eye(3).expand(2, number, 3, 3), torch.full((2, number, 3), 0.7),
        torch.ones(2, dtype=torch.bool), torch.zeros(2),
    )  # fmt: skip


def head() -> PixelPoseHead:
    return PRESET.network(2).head


def test_decodes_the_most_confident_pose_first(rng: np.random.Generator) -> None:
    rotation, center, logits = random_rotation(rng, (2, 10)), rng.normal(0, 0.1, (2, 10, 3)), rng.normal(size=(2, 10))
    prediction = prediction_of(rotation, center, logits, refined=False)
    poses = head().decode(prediction, None, [])
    best = logits.argmax(1)
    for b in range(2):
        np.testing.assert_allclose(poses.rotation[b, 0], rotation[b, best[b]], atol=1e-6)
        np.testing.assert_allclose(poses.center[b, 0], center[b, best[b]], atol=1e-6)
    np.testing.assert_allclose(poses.score[:, 0], 1 / (1 + np.exp(-logits.max(1))), rtol=1e-6)
    np.testing.assert_array_equal(poses.certainty, poses.score[:, 0])
    unseen = head().decode(replace(prediction, seen=torch.tensor([True, False])), None, [])
    assert unseen.score[0].any() and not unseen.score[1].any()


def test_a_perfect_prediction_of_all_points_is_one_pose(rng: np.random.Generator) -> None:
    """Slightly different poses of one part are one hypothesis, not several."""
    truth = random_rotation(rng, (2, 1))
    rotation = truth @ exp_so3(rng.normal(0, 0.01, (2, 10, 3)))
    prediction = prediction_of(rotation, np.zeros((2, 10, 3)), np.zeros((2, 10)), refined=False)
    assert (head().decode(prediction, None, []).score > 0).tolist() == [[True, False, False]] * 2


def test_the_refined_pose_replaces_the_best_one(rng: np.random.Generator) -> None:
    rotation, center, logits = random_rotation(rng, (2, 10)), rng.normal(0, 0.1, (2, 10, 3)), rng.normal(size=(2, 10))
    poses = head().decode(prediction_of(rotation, center, logits, refined=True), None, [])
    np.testing.assert_allclose(poses.rotation[:, 0], np.tile(np.eye(3), (2, 1, 1)))
    np.testing.assert_allclose(poses.center[:, 0], 0.7)
    second = np.argsort(-logits, 1)[:, 1]
    for b in range(2):
        np.testing.assert_allclose(poses.rotation[b, 1], rotation[b, second[b]], atol=1e-6)


def test_offsets_begin_at_the_points() -> None:
    """A head whose offsets are 0 votes for each point itself as the centre."""
    network = PRESET.network(2).eval()
    torch.nn.init.zeros_(network.head.offset.layers[-1].weight)
    torch.nn.init.zeros_(network.head.offset.layers[-1].bias)
    x, classes = torch.rand(2, 8, 64, 64), torch.tensor([0, 1])
    with torch.no_grad():
        points = network.backbone(x, classes)[0]
        torch.testing.assert_close(network(x, classes).center, points)
