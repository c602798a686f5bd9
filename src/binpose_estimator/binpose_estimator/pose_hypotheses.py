"""Several rotations with confidences, learnt from depth images alone (Bengtson et al., 2021 and 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.autoencoder import CODE
from binpose_estimator.conditioning import Conditioning, code_size
from binpose_estimator.crops import CropInputs
from binpose_estimator.head import rotation_from_6d
from binpose_estimator.losses import PartTables, PoseTargets, equivalent_poses, match_and_shown
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.output_layers import conditioned_linear
from binpose_estimator.poses import DecodedPoses, PoseHypotheses, PredictedPoses

LEAST_APART_RAD = np.deg2rad(20.0)
"""Hypotheses nearer to each other than this are pushed apart."""


@dataclass(frozen=True)
class CodedPrediction(PredictedPoses):
    """rotation: (B, K, 3, 3), center: (B, 3) from the crop's centre in diameters, confidence: (B, K) logits.

    match: (B,) logit. code: (B, 128). reconstruction: (B, 1, n, n) in training, else (B, 0).
    """

    rotation: torch.Tensor
    center: torch.Tensor
    confidence: torch.Tensor
    match: torch.Tensor
    code: torch.Tensor
    reconstruction: torch.Tensor

    def hypotheses(self) -> PoseHypotheses:
        """The K rotations, all at the same centre."""
        center = self.center[:, None].expand(*self.confidence.shape, 3)
        return PoseHypotheses(self.rotation, center, self.confidence)


class RegressionHead(nn.Module):
    """Codes (B, 128) -> K rotations with confidences, a centre and a match: an MLP whose layers all see the code."""

    def __init__(self, classes: int, hypotheses: int, conditioning: Conditioning, hidden: int = 256) -> None:
        super().__init__()
        self.hypotheses = hypotheses
        own = code_size(conditioning, 32)
        self.embedding = nn.Embedding(classes, own)
        inputs = CODE + own
        self.layers = nn.ModuleList([nn.Linear(inputs, hidden), *(nn.Linear(hidden + inputs, hidden) for _ in "ab")])
        self.rotation = conditioned_linear(conditioning, hidden + inputs, 6 * hypotheses, classes)
        self.confidence = conditioned_linear(conditioning, hidden + inputs, hypotheses, classes)
        self.center = conditioned_linear(conditioning, hidden + inputs, 3, classes)
        self.match = conditioned_linear(conditioning, hidden + inputs, 1, classes)
        nn.init.normal_(self.rotation.bias, std=1.0)
        nn.init.zeros_(self.center.weight)
        nn.init.zeros_(self.center.bias)

    def forward(
        self, code: torch.Tensor, pose_code: torch.Tensor, reconstruction: torch.Tensor, classes: torch.Tensor
    ) -> CodedPrediction:
        """Codes (B, 128), codes for poses (B, 128), reconstructions and classes (B,) -> poses in float32."""
        given = torch.cat([pose_code, self.embedding(classes)], 1)
        x = torch.relu(self.layers[0](given))
        for layer in self.layers[1:]:
            x = torch.relu(layer(torch.cat([x, given], 1)))
        x = torch.cat([x, given], 1)
        rotation = self.rotation(x, classes).float().view(-1, self.hypotheses, 6)
        return CodedPrediction(
            rotation_from_6d(rotation),
            self.center(x, classes).float(),
            self.confidence(x, classes).float(),
            self.match(x, classes)[:, 0].float(),
            code.float(),
            reconstruction,
        )

    def decode(self, prediction: CodedPrediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The K rotations, all at the same centre."""
        rotation = prediction.rotation.double().cpu().numpy()
        center = prediction.center.double().cpu().numpy()[:, None].repeat(rotation.shape[1], 1)
        return DecodedPoses(rotation, center, prediction.confidence.softmax(1).cpu().numpy(), np.zeros(len(rotation)))


class DepthLoss:
    """How different depth images under two poses are: 1 minus the visible surface in common, as the metric VSD has it.

    Pixels of both count by the difference of their depths over the tolerance, at most 1; pixels of one alone count 1.
    The mean is over the pixels of either. Symmetries need no statement: equivalent poses have the same image.

    Args:
        renderer: of the parts in class order.
        tolerance: difference of depths, in diameters, that counts as different.
        size_px: side of the images.
    """

    def __init__(self, renderer: NormalizedRenderer, tolerance: float, size_px: int) -> None:
        self.renderer, self.tolerance, self.size_px = renderer, tolerance, size_px

    def __call__(
        self, rotation: torch.Tensor, place: torch.Tensor, inputs: CropInputs, targets: PoseTargets
    ) -> torch.Tensor:
        """(B, K) of rotations (B, K, 3, 3) with centres at places (B, K, 3) from the virtual cameras, in diameters."""
        batch, count = rotation.shape[:2]
        each = torch.arange(batch, device=rotation.device).repeat_interleave(count)
        true_place = targets.center.clone()
        true_place[:, 2] += inputs.distance
        drawn = self.renderer.hard(targets.classes, targets.rotation, true_place, inputs, self.size_px)
        truth = torch.from_numpy(drawn.depth_m).to(rotation.device)[each]
        found = self.renderer.soft(
            targets.classes[each], rotation.flatten(0, 1), place.flatten(0, 1), inputs.take(each), self.size_px
        )
        shown, covered = (truth > 0).to(truth.dtype), found.coverage
        difference = ((found.depth_m - truth).abs() / self.tolerance).clamp(max=1.0)
        cost = covered * (shown * difference + (1 - shown)) + (1 - covered) * shown
        cost = found.occlusions.carried(cost[..., None])[..., 0]
        either = torch.maximum(covered.detach(), shown).sum((1, 2)).clamp(min=1.0)
        return (cost.sum((1, 2)) / either).view(batch, count)


@dataclass(frozen=True)
class HypothesisWeights:
    """floor: gamma of the paper, the least weight of each hypothesis. diversity: weight of their closeness.

    center: weight of the centre's error.
    """

    floor: float = 0.05
    diversity: float = 0.1
    center: float = 3.0


def hypothesis_loss(
    prediction: CodedPrediction,
    inputs: CropInputs,
    targets: PoseTargets,
    tables: PartTables,
    depth_loss: DepthLoss,
    depth_fraction: float,
    weights: HypothesisWeights,
) -> dict[str, torch.Tensor]:
    """Losses by name; their sum is minimised. At least one known crop must show the part of its class.

    The error of a crop is the mean of its hypotheses' errors, each weighted by its confidence and at least `floor`.
    For a fraction of the crops the errors are those of `depth_loss`, at the true centre; for the others they are
    distances of surface points modulo symmetries, which cost no rendering.
    """
    inputs = inputs.take((targets.weight > 0) & targets.matches)
    match, prediction, targets = match_and_shown(prediction, targets)
    rendered = torch.arange(len(inputs), device=inputs.x.device) < round(depth_fraction * len(inputs))
    surface, center = _distances(prediction, targets, tables)
    error = surface
    if rendered.any():
        place = targets.center[rendered, None].expand(-1, prediction.rotation.shape[1], 3).clone()
        place[..., 2] += inputs.distance[rendered, None]
        depth = depth_loss(prediction.rotation[rendered], place, inputs.take(rendered), targets.take(rendered))
        error = torch.cat([depth, surface[~rendered]])
    each = hypothesis_mean(error, prediction.confidence, weights.floor)
    closeness = hypothesis_closeness(prediction.rotation)
    return {
        "pose": (targets.weight * each).mean(),
        "closeness": weights.diversity * (targets.weight * closeness).mean(),
        "center": weights.center * (targets.weight * center).mean(),
        "match": match,
    }


def hypothesis_mean(error: torch.Tensor, confidence: torch.Tensor, floor: float) -> torch.Tensor:
    """(B,) mean of the errors (B, K), weighted by floor + (1 - K floor) softmax(confidence)."""
    share = floor + (1 - error.shape[1] * floor) * confidence.softmax(1)
    return (share * error).sum(1)


def hypothesis_closeness(rotation: torch.Tensor) -> torch.Tensor:
    """(B,) how much nearer than `LEAST_APART_RAD` rotations (B, K, 3, 3) are: 0 where all are farther apart."""
    count = rotation.shape[1]
    if count < 2:
        return rotation.new_zeros(len(rotation))
    first, second = torch.triu_indices(count, count, 1, device=rotation.device)
    cosine = ((rotation[:, first] * rotation[:, second]).sum((-1, -2)) - 1) / 2
    return (cosine - np.cos(LEAST_APART_RAD)).clamp(min=0).mean(1) / (1 - np.cos(LEAST_APART_RAD))


def _distances(
    prediction: CodedPrediction, targets: PoseTargets, tables: PartTables
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, K) distances of surface points from those of the nearest equivalent rotation, (B,) those of the centre."""
    truth, spread = equivalent_poses(targets, tables), tables.spread[targets.classes][:, None, None]
    difference = (prediction.rotation[:, :, None] - truth.rotation[:, None]) @ spread
    turn = (difference.square().sum((-1, -2)) + 1e-6).sqrt()
    apart = (prediction.center[:, None] - truth.center).abs().sum(-1)
    nearest = turn.masked_fill(~truth.valid[:, None], torch.inf).min(-1).values
    return nearest, apart.masked_fill(~truth.valid, torch.inf).min(1).values
