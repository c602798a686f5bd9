"""From features to poses: several hypotheses with confidence, and dense object coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import ConditionalInstanceNorm, Conditioning, code_size
from binpose_estimator.correspondences import poses_from_coordinates
from binpose_estimator.crops import CropInputs
from binpose_estimator.output_layers import conditioned_linear, conditioned_pointwise
from binpose_estimator.poses import DecodedPoses, PoseHypotheses, PredictedPoses

CELL = 4
"""Pixels of a crop per cell of the object coordinates."""


@dataclass(frozen=True)
class PosePrediction(PredictedPoses):
    """In the frame of the crop's virtual camera, lengths in diameters.

    rotation: (B, K, 3, 3). center: (B, K, 3) of the part's centre relative to the centre of the crop.
    confidence: (B, K) logits. coordinates: (B, 3, 16, 16) object coordinates relative to the centre.
    coordinate_scale: (B, 16, 16) logarithm of their Laplace scale.
    match: (B,) logit that the crop shows the part it was asked for.
    """

    rotation: torch.Tensor
    center: torch.Tensor
    confidence: torch.Tensor
    coordinates: torch.Tensor
    coordinate_scale: torch.Tensor
    match: torch.Tensor

    def hypotheses(self) -> PoseHypotheses:
        """The K poses."""
        return PoseHypotheses(self.rotation, self.center, self.confidence)


class HypothesesHead(nn.Module):
    """Features (B, C, 8, 8) -> K poses and a match; (B, c, 16, 16) beside it -> object coordinates."""

    def __init__(
        self,
        fine: int,
        coarse: int,
        classes: int,
        hypotheses: int,
        hidden: int = 384,
        conditioning: Conditioning = ConditionalInstanceNorm,
    ) -> None:
        super().__init__()
        self.hypotheses = hypotheses
        self.squeeze = nn.Sequential(nn.Conv2d(coarse, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        code = code_size(conditioning, 64)
        self.embedding = nn.Embedding(classes, code)
        self.regress = nn.Sequential(
            nn.Linear(32 * 64 + code, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True)
        )
        self.rotation = conditioned_linear(conditioning, hidden, 6 * hypotheses, classes)
        self.center = conditioned_linear(conditioning, hidden, 3 * hypotheses, classes)
        self.confidence = conditioned_linear(conditioning, hidden, hypotheses, classes)
        self.match = conditioned_linear(conditioning, hidden, 1, classes)
        nn.init.normal_(self.rotation.bias, std=1.0)
        nn.init.zeros_(self.center.weight)
        self.lateral = nn.Conv2d(coarse, fine, 1)
        self.dense = nn.Sequential(
            nn.Conv2d(fine, fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.ReLU(inplace=True)
        )
        self.condition = conditioning(fine, classes)
        self.coordinates = nn.Sequential(
            nn.Conv2d(fine, fine, 3, padding=1),
            nn.ReLU(inplace=True),
            conditioned_pointwise(conditioning, fine, 4, classes),
        )

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        """Features (B, c, 16, 16) and (B, C, 8, 8), classes (B,) -> poses in float32."""
        batch = coarse.shape[0]
        x = torch.cat([self.squeeze(coarse).flatten(1), self.embedding(classes)], 1)
        x = self.regress(x)
        dense = fine + nn.functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        dense = self.coordinates[:2](torch.relu(dense + self.condition(self.dense(dense), classes)))
        dense = self.coordinates[2](dense, classes)
        return PosePrediction(
            rotation=rotation_from_6d(self.rotation(x, classes).float().view(batch, self.hypotheses, 6)),
            center=self.center(x, classes).float().view(batch, self.hypotheses, 3),
            confidence=self.confidence(x, classes).float(),
            coordinates=dense[:, :3].float(),
            coordinate_scale=dense[:, 3].float(),
            match=self.match(x, classes)[:, 0].float(),
        )

    def decode(self, prediction: PosePrediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The K hypotheses, and two of the object coordinates where the crops carry points.

        The score of the last two is their fraction of inliers, whose maximum is the certainty.
        """
        rotation = prediction.rotation.cpu().numpy().astype(np.float64)
        center = prediction.center.cpu().numpy().astype(np.float64)
        score = prediction.confidence.softmax(1).cpu().numpy()
        if "points" not in inputs.content.names:
            return DecodedPoses(rotation, center, score, np.zeros(len(score)))
        observed, valid = observed_cells(inputs)
        coordinates = prediction.coordinates.flatten(2).transpose(1, 2).cpu().numpy()
        dense_rotation, dense_center, inliers = poses_from_coordinates(observed, coordinates, valid)
        return DecodedPoses(
            np.concatenate([rotation, dense_rotation], 1),
            np.concatenate([center, dense_center], 1),
            np.concatenate([score, inliers], 1),
            inliers.max(1),
        )


def at_cells(images: torch.Tensor) -> torch.Tensor:
    """The pixels (..., h, w) of images (..., n, n) in which the cells of the object coordinates lie."""
    return images[..., CELL // 2 :: CELL, CELL // 2 :: CELL]


def observed_cells(inputs: CropInputs) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Observed points (B, 256, 3) in diameters from the crop's centre and whether they are valid and on the mask."""
    points, valid, mask = (at_cells(inputs[name]).flatten(2).cpu() for name in ("points", "valid", "mask"))
    covered = (valid[:, 0] > 0) & (mask[:, 0] > 0)
    return points.transpose(1, 2).numpy().astype(np.float64), covered.numpy()


def rotation_from_6d(sixd: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) of the continuous 6D representation (..., 6), its first two columns (Zhou et al., 2019)."""
    x = nn.functional.normalize(sixd[..., :3], dim=-1)
    y = nn.functional.normalize(sixd[..., 3:] - (x * sixd[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
