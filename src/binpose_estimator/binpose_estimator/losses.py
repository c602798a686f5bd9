"""What the pose network is trained for: the nearest of its hypotheses to the nearest of the equivalent poses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.head import PosePrediction
from binpose_estimator.poses import Prediction, TensorRows

TakenPrediction = TypeVar("TakenPrediction", bound=Prediction)

RUNNER_UP_SHARE = 0.05
CONFIDENCE_WEIGHT = 0.1
COORDINATE_WEIGHT = 1.0
MATCH_WEIGHT = 0.5
LABELLING_STEP = 3  # every third cell of 16 x 16 tells which equivalent labelling fits


@dataclass(frozen=True)
class PartTables:
    """Per class, padded to the largest symmetry group; in diameters, object frame with its origin in the centre.

    symmetries: (C, S, 3, 3) and shifts (C, S, 3): p -> R p + t. valid: (C, S).
    spread: (C, 3, 3), square root of the second moment of the surface, so that ||(R - R') spread||_F is the RMS
        distance of surface points under two rotations.
    """

    symmetries: torch.Tensor
    shifts: torch.Tensor
    valid: torch.Tensor
    spread: torch.Tensor


def part_tables(objects: Sequence[ObjectModel], max_step_rad: float = np.pi / 12) -> PartTables:
    """Tables of the parts in class order, continuous symmetries in steps of at most max_step_rad.

    Near-symmetries count as equivalent: the rendering decides among them later.
    """
    groups = [o.symmetries.transforms(max_step_rad, include_near=True) for o in objects]
    size = max(len(g) for g in groups)
    rotation = np.tile(np.eye(3), (len(objects), size, 1, 1))
    shift, valid = np.zeros((len(objects), size, 3)), np.zeros((len(objects), size), bool)
    spread = np.zeros((len(objects), 3, 3))
    for c, (part, group) in enumerate(zip(objects, groups, strict=True)):
        rotation[c, : len(group)] = group[:, :3, :3]
        moved = group[:, :3, :3] @ part.center_m + group[:, :3, 3]
        shift[c, : len(group)] = (moved - part.center_m) / part.diameter_m
        valid[c, : len(group)] = True
        points = (part.points - part.center_m) / part.diameter_m
        values, vectors = np.linalg.eigh(points.T @ points / len(points))
        spread[c] = (vectors * np.sqrt(np.maximum(values, 1e-4))) @ vectors.T
    as_tensor = lambda a: torch.from_numpy(a.astype(np.float32))  # noqa: E731
    return PartTables(as_tensor(rotation), as_tensor(shift), torch.from_numpy(valid), as_tensor(spread))


@dataclass(frozen=True)
class PoseTargets(TensorRows):
    """The truth of B crops, in the crop's frame, lengths in diameters.

    classes: (B,) int64. rotation: (B, 3, 3). center: (B, 3) from the crop's centre.
    points: (B, 3, 16, 16) object coordinates from the part's centre. covered: (B, 16, 16) bool, where they are known.
    matches: (B,) bool, false where the crop shows another part than `classes` says; the rest means nothing there.
    weight: (B,) in [0, 1], 0 = unknown: no loss is taken from the crop.
    """

    classes: torch.Tensor
    rotation: torch.Tensor
    center: torch.Tensor
    points: torch.Tensor
    covered: torch.Tensor
    matches: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True)
class EquivalentPoses:
    """All poses that a crop of a symmetric part may equally have: (B, S, 3, 3), (B, S, 3) and which exist (B, S).

    The first one is the pose itself.
    """

    rotation: torch.Tensor
    center: torch.Tensor
    valid: torch.Tensor


def equivalent_poses(targets: PoseTargets, tables: PartTables) -> EquivalentPoses:
    """The true poses of B crops under the symmetries of their parts."""
    return symmetric_poses(targets.rotation, targets.center, targets.classes, tables)


def symmetric_poses(
    rotation: torch.Tensor, center: torch.Tensor, classes: torch.Tensor, tables: PartTables
) -> EquivalentPoses:
    """Poses (B, 3, 3) and (B, 3) of parts (B,) under the symmetries of these parts."""
    moved = center[:, None] + (rotation[:, None] @ tables.shifts[classes][..., None])[..., 0]
    return EquivalentPoses(rotation[:, None] @ tables.symmetries[classes], moved, tables.valid[classes])


def match_and_shown(
    prediction: TakenPrediction, targets: PoseTargets
) -> tuple[torch.Tensor, TakenPrediction, PoseTargets]:
    """The loss of the match over the known crops, and those of them that show the part of their class."""
    known = targets.weight > 0
    prediction, targets = prediction.take(known), targets.take(known)
    match = functional.binary_cross_entropy_with_logits(prediction.match, targets.matches.float(), targets.weight)
    return MATCH_WEIGHT * match, prediction.take(targets.matches), targets.take(targets.matches)


def pose_loss(prediction: PosePrediction, targets: PoseTargets, tables: PartTables) -> dict[str, torch.Tensor]:
    """Losses by name; their sum is minimised. At least one known crop must show the part of its class.

    The means are over all known crops, whatever their weight: a weight scales the loss linearly.
    """
    match, prediction, targets = match_and_shown(prediction, targets)
    weight = targets.weight[:, None]
    symmetric = tables.symmetries[targets.classes]
    shifts, valid = tables.shifts[targets.classes], tables.valid[targets.classes]
    spread = tables.spread[targets.classes]
    truth = equivalent_poses(targets, tables)
    difference = (prediction.rotation[:, :, None] - truth.rotation[:, None]) @ spread[:, None, None]
    turn = (difference.square().sum((-1, -2)) + 1e-6).sqrt()
    move = (prediction.center[:, :, None] - truth.center[:, None]).abs().sum(-1)
    distance = (turn + move).masked_fill(~valid[:, None], torch.inf).min(-1).values
    best = distance.min(1)
    log_confidence = prediction.confidence.log_softmax(1)
    loss = {
        "pose": (1 - RUNNER_UP_SHARE) * (weight[:, 0] * best.values).mean()
        + RUNNER_UP_SHARE * (weight * distance).mean(),
        "confidence": CONFIDENCE_WEIGHT * functional.nll_loss(weight * log_confidence, best.indices),
        "match": match,
        "coordinates": COORDINATE_WEIGHT * _coordinate_loss(prediction, targets, symmetric, shifts, valid),
    }
    return {name: value * 3.0 if name == "pose" else value for name, value in loss.items()}


def _coordinate_loss(
    prediction: PosePrediction, targets: PoseTargets, symmetric: torch.Tensor, shifts: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """Laplace negative log-likelihood under the equivalent labelling that fits best (p -> S^-1 p)."""
    batch = torch.arange(len(targets.classes), device=targets.classes.device)
    points = targets.points.flatten(2)
    weight = targets.covered.flatten(1).float()
    predicted = prediction.coordinates.flatten(2)
    with torch.no_grad():
        cells = slice(None, None, LABELLING_STEP)
        equivalent = symmetric.transpose(-1, -2) @ (points[:, None, :, cells] - shifts[..., None])
        total = ((predicted[:, None, :, cells] - equivalent).abs().sum(2) * weight[:, None, cells]).sum(-1)
        best = total.masked_fill(~valid, torch.inf).argmin(1)
    label = symmetric[batch, best].transpose(-1, -2) @ (points - shifts[batch, best][..., None])
    error = (predicted - label).abs().sum(1)
    log_scale = prediction.coordinate_scale.flatten(1).clamp(-5.0, 1.0)
    likelihood = error * torch.exp(-log_scale) + 3 * log_scale
    return 0.1 * (targets.weight[:, None] * likelihood * weight).sum() / weight.sum().clamp(min=1.0)
