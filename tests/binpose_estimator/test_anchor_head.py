import numpy as np
import torch

from binpose_core.geometry.transforms import random_rotation, rotation_angle_rad
from binpose_estimator.anchor_head import HALF_SCORE, AnchorPrediction
from binpose_estimator.anchors import icosahedral_rotations
from binpose_estimator.presets import DcNetPreset

PRESET = DcNetPreset(width=4, points=12, hypotheses=3)


def perfect(rng: np.random.Generator) -> tuple[AnchorPrediction, np.ndarray, np.ndarray]:
    """One anchor of each crop has the truth and no doubt; the points aim at the centre."""
    rotation, center = random_rotation(rng, (2,)), rng.normal(0, 0.1, (2, 3))
    anchors = np.tile(icosahedral_rotations(), (2, 1, 1, 1))
    sigma = np.full((2, 60), 0.3)
    for b in range(2):
        nearest = rotation_angle_rad(anchors[b], rotation[b]).argmin()
        anchors[b, nearest], sigma[b, nearest] = rotation[b], 0.02
    points = rng.normal(0, 0.3, (2, 12, 3))
    directions = center[:, None] - points
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    values = (torch.from_numpy(v).float() for v in (anchors, sigma, points, directions))
    return AnchorPrediction(*values, torch.ones(2, dtype=torch.bool), torch.zeros(2)), rotation, center


def test_a_perfect_prediction_is_decoded_to_the_pose(rng: np.random.Generator) -> None:
    prediction, rotation, center = perfect(rng)
    poses = PRESET.network(2).head.decode(prediction, None, [])
    np.testing.assert_allclose(poses.rotation[:, 0], rotation, atol=1e-6)
    np.testing.assert_allclose(poses.center, np.repeat(center[:, None], 3, 1), atol=1e-5)
    np.testing.assert_allclose(poses.score[:, 0], HALF_SCORE / (HALF_SCORE + 0.02), rtol=1e-5)
    assert (poses.score[:, 1:] < 0.1).all() and (poses.certainty == poses.score[:, 0]).all()
    for b in range(2):
        assert np.rad2deg(rotation_angle_rad(poses.rotation[b, 1:], rotation[b])).min() > 25, "others differ"


def test_crops_without_points_have_no_pose(rng: np.random.Generator) -> None:
    prediction, _, _ = perfect(rng)
    prediction.seen[0] = False
    score = PRESET.network(2).head.decode(prediction, None, []).score
    assert not score[0].any() and score[1].all()


def test_without_deviation_the_rotations_are_the_anchors() -> None:
    network = PRESET.network(2).eval()
    torch.nn.init.zeros_(network.head.deviation[-1].weight)
    torch.nn.init.zeros_(network.head.deviation[-1].bias)
    with torch.no_grad():
        prediction = network(torch.rand(2, 8, 64, 64), torch.tensor([0, 1]))
    np.testing.assert_allclose(prediction.rotation[1], icosahedral_rotations(), atol=1e-6)
    torch.testing.assert_close(prediction.directions.norm(dim=-1), torch.ones(2, 12))
    assert (prediction.uncertainty > 0).all() and (prediction.uncertainty < 1).all()
