"""What the networks of dense fusion are trained for: ADD(-S) of each point's pose, weighted by its confidence."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from binpose_estimator.losses import PoseTargets, equivalent_poses, match_and_shown
from binpose_estimator.model_distance import SurfaceTables, SymmetricDistance, model_distance
from binpose_estimator.pixel_head import PixelPoses


@dataclass(frozen=True)
class PixelLoss:
    """sum L c - w log c over the points (Wang et al., 2019; Mu et al., 2023, eqs. 3 and 4), and L of each refinement.

    A confidence c of 1/2 at its optimum w / L stands for an error L of 2 w.

    tables: of the parts. confidence_weight: w, in diameters. kind: the distance for symmetric parts.
    refinement_margin: the refinements learn from poses of smaller error, in diameters.
    """

    tables: SurfaceTables
    confidence_weight: float
    refinement_margin: float
    kind: SymmetricDistance = "equivalent"

    def __call__(self, prediction: PixelPoses, targets: PoseTargets) -> dict[str, torch.Tensor]:
        """Losses by name; their sum is minimised."""
        match, prediction, targets = match_and_shown(prediction, targets)
        weight = targets.weight * prediction.seen
        distance = self._distance(prediction.rotation, prediction.center, targets)
        logits = prediction.confidence
        cost = distance * logits.sigmoid() - self.confidence_weight * functional.logsigmoid(logits)
        loss = {"pose": (weight[:, None] * cost).mean(), "match": match}
        if prediction.refined_rotation.shape[1]:
            best = distance.gather(1, logits.argmax(1, keepdim=True))[:, 0]
            near = weight * (best < self.refinement_margin)
            refined = self._distance(prediction.refined_rotation, prediction.refined_center, targets)
            loss["refinement"] = (near[:, None] * refined).mean()
        return loss

    def _distance(self, rotation: torch.Tensor, center: torch.Tensor, targets: PoseTargets) -> torch.Tensor:
        truth, classes = equivalent_poses(targets, self.tables.parts), targets.classes
        return model_distance(
            rotation, center, truth, self.tables.points[classes], self.tables.symmetric[classes], self.kind
        )
