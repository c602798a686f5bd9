"""The loss of the corners: zero at the truth and under each symmetry, and it can be learnt."""

import numpy as np
import torch

from binpose_core.geometry.transforms import random_rotation
from binpose_estimator import Bb8Preset
from binpose_estimator.box_corners import CornerPrediction, box_points, corner_loss, equivalent_corners
from binpose_estimator.crops import CropInputs
from binpose_estimator.losses import PoseTargets, part_tables

NAMES = ("block", "rod", "bracket")


def truth_of(batch: int, rng: np.random.Generator, content=Bb8Preset.content) -> tuple[CropInputs, PoseTargets]:
    n = content.size_px
    x = torch.from_numpy(rng.uniform(0, 1, (batch, content.channels, n, n)).astype(np.float32))
    distance = torch.from_numpy(rng.uniform(5, 12, batch).astype(np.float32))
    rotation = torch.from_numpy(random_rotation(rng, (batch,)).astype(np.float32))
    center = torch.from_numpy(rng.normal(0, 0.1, (batch, 3)).astype(np.float32))
    nothing = torch.zeros(batch, 3, 16, 16), torch.zeros(batch, 16, 16, dtype=torch.bool)
    matches = torch.ones(batch, dtype=torch.bool)
    targets = PoseTargets(torch.arange(batch) % 3, rotation, center, *nothing, matches, torch.ones(batch))
    return CropInputs(content, x, distance), targets


def test_corners_are_those_of_the_mesh(objects) -> None:
    points = box_points([objects[name] for name in NAMES]).numpy()
    for corners, name in zip(points, NAMES, strict=True):
        part = objects[name]
        metres = corners * part.diameter_m + part.center_m
        np.testing.assert_allclose(metres.min(0), part.mesh.vertices.min(0), atol=1e-6)
        np.testing.assert_allclose(metres.max(0), part.mesh.vertices.max(0), atol=1e-6)
        np.testing.assert_allclose(corners[8], 0)


def test_the_loss_is_zero_at_the_truth_under_each_symmetry(objects, rng: np.random.Generator) -> None:
    parts = [objects[name] for name in NAMES]
    tables, points = part_tables(parts), box_points(parts)
    inputs, targets = truth_of(9, rng)
    corners = equivalent_corners(inputs, targets, tables, points)
    assert corners.shape[2:] == (9, 2)
    for symmetry in range(corners.shape[1]):
        valid = tables.valid[targets.classes, symmetry]
        chosen = torch.where(valid[:, None, None], corners[:, symmetry], corners[:, 0])
        for move, expected in ((0.0, 0.0), (0.05, 20 * 0.5 * 0.05**2)):
            prediction = CornerPrediction(chosen + move, torch.zeros(9))
            loss = corner_loss(prediction, inputs, targets, tables, points)["corners"]
            if move == 0.0 or symmetry == 0:
                assert abs(loss.item() - expected) < 0.3 * expected + 1e-6


def test_a_wrong_crop_teaches_the_match_alone(objects, rng: np.random.Generator) -> None:
    parts = [objects[name] for name in NAMES]
    inputs, targets = truth_of(4, rng)
    targets.matches[2] = False
    corners = torch.zeros(4, 9, 2, requires_grad=True)
    match = torch.zeros(4, requires_grad=True)
    losses = corner_loss(CornerPrediction(corners, match), inputs, targets, part_tables(parts), box_points(parts))
    sum(losses.values()).backward()
    assert not corners.grad[2].any() and corners.grad[[0, 1, 3]].flatten(1).any(1).all()
    assert match.grad[2] > 0 > match.grad[0]


def test_a_small_network_learns_a_few_crops_by_heart(objects, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    preset, parts = Bb8Preset((8, 12, 16)), [objects[name] for name in NAMES]
    batch, network = truth_of(6, rng), preset.build(3).train()
    objective = preset.objective(parts, torch.device("cpu"))
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=3e-3), []
    for _ in range(40):
        loss = objective(network, batch)["corners"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
