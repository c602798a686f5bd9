"""What the network of rotation anchors and centre votes is trained for (Chen et al., 2022, eqs. 6-9)."""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from binpose_estimator.anchor_head import AnchorPrediction
from binpose_estimator.losses import EquivalentPoses, PoseTargets, equivalent_poses, match_and_shown
from binpose_estimator.model_distance import SurfaceTables, SymmetricDistance, model_distance, nearest_equivalent

ANCHOR_WEIGHT = 2.0
CENTER_WEIGHT = 5.0
"""Both of Tian et al. (2020)."""


@dataclass(frozen=True)
class AnchorLoss:
    """ln sigma + L / sigma of each anchor, the deviations' order and the directions to the centre.

    tables: of the parts. kind: the distance L for symmetric parts.
    """

    tables: SurfaceTables
    kind: SymmetricDistance = "equivalent"

    def __call__(
        self, prediction: AnchorPrediction, targets: PoseTargets, anchors: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Losses by name; their sum is minimised. Anchors are (A, 3, 3)."""
        match, prediction, targets = match_and_shown(prediction, targets)
        weight = (targets.weight * prediction.seen)[:, None]
        truth, points = equivalent_poses(targets, self.tables.parts), self.tables.points[targets.classes]
        turned = replace(truth, center=torch.zeros_like(truth.center))
        unmoved = torch.zeros_like(prediction.rotation[..., 0])
        symmetric = self.tables.symmetric[targets.classes]
        distance = model_distance(prediction.rotation, unmoved, turned, points, symmetric, self.kind)
        likelihood = prediction.uncertainty.log() + distance / prediction.uncertainty
        center = center_of_best(prediction, truth, points)
        return {
            "rotation": (weight * likelihood).mean(),
            "anchors": ANCHOR_WEIGHT * (weight * anchor_disorder(prediction.rotation, anchors)).mean(),
            "center": CENTER_WEIGHT * (weight * direction_loss(prediction, center)).mean(),
            "match": match,
        }


def anchor_disorder(rotation: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(B, A) how much nearer each rotation is to another anchor than to its own, as cosines (Tian et al., 2020).

    The cosine is that of half the angle, |q . q'|: trace + 1 = 4 cos^2.
    """
    trace = rotation.flatten(2) @ anchors.flatten(1).T
    cosine = (0.25 * (trace + 1.0)).clamp(min=1e-6).sqrt()
    return (cosine.amax(-1) - cosine.diagonal(dim1=1, dim2=2)).clamp(min=0.0)


def center_of_best(prediction: AnchorPrediction, truth: EquivalentPoses, points: torch.Tensor) -> torch.Tensor:
    """(B, 3) the true centre that belongs to the least uncertain rotation, as symmetries may move the centre."""
    batch = torch.arange(len(truth.center), device=truth.center.device)
    best = prediction.rotation[batch, prediction.uncertainty.argmin(1)]
    poses, true_poses = (functional.pad(R, (0, 1)) for R in (best[:, None], truth.rotation))
    which = nearest_equivalent(poses, true_poses, truth.valid, points)[:, 0]
    return truth.center[batch, which]


def direction_loss(prediction: AnchorPrediction, center: torch.Tensor) -> torch.Tensor:
    """(B, N) smooth L1 of each direction's error (Chen et al., eq. 9)."""
    true = functional.normalize(center[:, None] - prediction.points, dim=-1)
    error = torch.linalg.vector_norm(prediction.directions - true, dim=-1)
    return functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
