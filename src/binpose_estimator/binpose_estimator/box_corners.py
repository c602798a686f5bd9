"""Poses as projections of the corners of a part's bounding box (BB8; Rad & Lepetit, 2017), as Sock et al. use them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import Conditioning, code_size
from binpose_estimator.crops import CropInputs
from binpose_estimator.losses import EquivalentPoses, PartTables, PoseTargets, equivalent_poses, match_and_shown
from binpose_estimator.output_layers import conditioned_linear
from binpose_estimator.pnp import CameraPose, project, robust_pnp
from binpose_estimator.poses import DecodedPoses, TensorRows

POINTS = 9
HUBER = 0.1
"""Errors of a corner above this count linearly, in half widths of the crop."""
INLIER = 0.08
"""Largest error of a corner that agrees with a pose, in half widths of the crop: 2.5 of 64 pixels."""
CORNER_WEIGHT = 20.0
"""Of the mean Huber loss: it is about as large as the other losses."""


@dataclass(frozen=True)
class CornerPrediction(TensorRows):
    """corners: (B, 9, 2) from the crop's middle in half widths of the crop. match: (B,) logit."""

    corners: torch.Tensor
    match: torch.Tensor


class CornerHead(nn.Module):
    """Features (B, C, 8, 8) -> the projections of eight corners and the centre, and a match."""

    def __init__(self, coarse: int, classes: int, conditioning: Conditioning, hidden: int = 384) -> None:
        super().__init__()
        code = code_size(conditioning, 64)
        self.squeeze = nn.Sequential(nn.Conv2d(coarse, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.embedding = nn.Embedding(classes, code)
        self.regress = nn.Sequential(
            nn.Linear(32 * 64 + code, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True)
        )
        self.corners = conditioned_linear(conditioning, hidden, 2 * POINTS, classes)
        self.match = conditioned_linear(conditioning, hidden, 1, classes)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, classes: torch.Tensor) -> CornerPrediction:
        """Features (B, c, 16, 16), which it does not use, and (B, C, 8, 8), classes (B,) -> corners in float32."""
        x = self.regress(torch.cat([self.squeeze(coarse).flatten(1), self.embedding(classes)], 1))
        corners = self.corners(x, classes).float().view(-1, POINTS, 2)
        return CornerPrediction(corners, self.match(x, classes)[:, 0].float())

    def decode(self, prediction: CornerPrediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The pose that most corners agree with; its score and certainty are their fraction.

        The distance is that of the perspective, whatever distance the crop was cut at: no depth is used.
        """
        points = box_points(parts).to(prediction.corners.device)
        width = half_width(inputs)
        image = prediction.corners * width[:, None, None]
        pose, inliers = robust_pnp(points, image, INLIER * width)
        center = pose.translation.clone()
        center[:, 2] -= inputs.distance
        seen = (pose.translation[:, 2] > 0) & torch.isfinite(center).all(1)
        score = torch.where(seen, inliers.double().mean(1), 0.0).cpu().numpy()
        rotation = pose.rotation.double().cpu().numpy()[:, None]
        return DecodedPoses(rotation, center.double().cpu().numpy()[:, None], score[:, None], score)


def box_points(parts: Sequence[ObjectModel]) -> torch.Tensor:
    """(B, 9, 3) float32 corners of the parts' bounding boxes and their centre, from the centre, in diameters."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)] + [(0, 0, 0)]) / 2
    sides = np.array([part.box_size_m / part.diameter_m for part in parts]).reshape(-1, 1, 3)
    return torch.from_numpy((signs * sides).astype(np.float32))


def half_width(inputs: CropInputs) -> torch.Tensor:
    """(B,) half the width of the crops in the image plane at distance 1 of their virtual cameras."""
    return inputs.content.diameters / (2 * inputs.distance)


def projected_corners(pose: CameraPose, points: torch.Tensor, inputs: CropInputs) -> torch.Tensor:
    """(B, ..., N, 2) points (B, ..., N, 3), at poses (B, ...) in the crops' frames, in half widths of the crops.

    The poses are relative to the virtual cameras, in diameters; see `CornerPrediction`.
    """
    image = project(pose, points)
    return image / half_width(inputs).view(-1, *[1] * (image.ndim - 1))


def corner_loss(
    prediction: CornerPrediction, inputs: CropInputs, targets: PoseTargets, tables: PartTables, points: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Huber loss of the corners (Sock et al., 2020, eq. 2), the smallest over the symmetries of the part.

    Args:
        prediction: of B crops, of which at least one with a known weight shows the part of its class.
        inputs: what the network saw.
        targets: the truth.
        tables: symmetries of the classes.
        points: (C, 9, 3) `box_points` of the classes.

    Returns:
        Losses by name; their sum is minimised.
    """
    inputs = inputs.take((targets.weight > 0) & targets.matches)
    match, prediction, targets = match_and_shown(prediction, targets)
    truth = equivalent_corners(inputs, targets, tables, points)
    each = functional.huber_loss(prediction.corners[:, None].expand_as(truth), truth, reduction="none", delta=HUBER)
    nearest = each.mean((2, 3)).masked_fill(~tables.valid[targets.classes], torch.inf).min(1).values
    return {"corners": CORNER_WEIGHT * (targets.weight * nearest).mean(), "match": match}


def equivalent_corners(
    inputs: CropInputs, targets: PoseTargets, tables: PartTables, points: torch.Tensor
) -> torch.Tensor:
    """(B, S, 9, 2) the true corners under each symmetry of the parts, as `CornerPrediction` has them."""
    return corners_at(equivalent_poses(targets, tables), points[targets.classes], inputs)


def corners_at(poses: EquivalentPoses, points: torch.Tensor, inputs: CropInputs) -> torch.Tensor:
    """(B, S, 9, 2) corners (B, 9, 3) at poses in the frames of their crops, as `CornerPrediction` has them."""
    ahead = functional.pad(inputs.distance[:, None, None], (2, 0))
    return projected_corners(CameraPose(poses.rotation, poses.center + ahead), points[:, None], inputs)
