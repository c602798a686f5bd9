"""Deviations from rotation anchors, and unit vectors to the centre (Chen et al., 2022; Tian et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.anchors import icosahedral_rotations
from binpose_estimator.center_voting import meeting_points, vote_centers
from binpose_estimator.crops import REACH_DIAMETERS, CropInputs
from binpose_estimator.distinct_poses import distinct_poses
from binpose_estimator.point_fusion import GLOBAL
from binpose_estimator.poses import DecodedPoses, PoseHypotheses, PredictedPoses
from binpose_estimator.quaternions import full_precision_product, near_identity, rotation_from_quaternions
from binpose_estimator.regressor import PixelRegressor, linear_layers

LEAST_UNCERTAINTY = 0.02
"""In diameters: bounds the loss and its gradient, which crops that are learnt already would dominate."""
HALF_SCORE = 0.03
"""Uncertainty in diameters at which a pose scores one half."""


@dataclass(frozen=True)
class AnchorPrediction(PredictedPoses):
    """In the frame of the crop's virtual camera, lengths in diameters; A anchors, N points.

    rotation: (B, A, 3, 3), each anchor with its deviation. uncertainty: (B, A) expected distance of surface points.
    points: (B, N, 3) observed. directions: (B, N, 3) unit vectors from them to the part's centre.
    seen: (B,) bool, whether the crop has any point.
    match: (B,) logit that the crop shows the part it was asked for.
    """

    rotation: torch.Tensor
    uncertainty: torch.Tensor
    points: torch.Tensor
    directions: torch.Tensor
    seen: torch.Tensor
    match: torch.Tensor

    paired: ClassVar[bool] = True

    def hypotheses(self) -> PoseHypotheses:
        """The rotations of all anchors, which weigh 1 / uncertainty, at the point nearest to all lines."""
        center = meeting_points(self.points, self.directions)[:, None].expand(*self.uncertainty.shape, 3)
        return PoseHypotheses(self.rotation, center, -self.uncertainty.log(), self.seen)


class AnchorHead(nn.Module):
    """`FusedFeatures` -> 60 rotations with their uncertainties, and a unit vector to the centre at each point.

    The match is beyond the paper, whose networks know one part each.

    Args:
        width: w of the features. hypotheses: decoded poses per crop.
    """

    anchors: torch.Tensor

    def __init__(self, width: int, hypotheses: int) -> None:
        super().__init__()
        self.hypotheses = hypotheses
        anchors = torch.tensor(icosahedral_rotations(), dtype=torch.float32)
        self.register_buffer("anchors", anchors)
        self.deviation = linear_layers(GLOBAL * width, 16 * width, 8 * width, 4 * len(anchors))
        self.uncertainty = linear_layers(GLOBAL * width, 16 * width, 8 * width, len(anchors))
        self.direction = PixelRegressor(width, 3)
        self.match = nn.Linear(GLOBAL * width, 1)

    def forward(
        self,
        points: torch.Tensor,
        seen: torch.Tensor,
        colors: torch.Tensor,
        local: torch.Tensor,
        whole: torch.Tensor,
        classes: torch.Tensor,
    ) -> AnchorPrediction:
        """`FusedFeatures` and classes (B,) -> a prediction in float32."""
        quat_xyzw = near_identity(self.deviation(whole).float().unflatten(1, (-1, 4)))
        uncertainty = LEAST_UNCERTAINTY + (1.0 - LEAST_UNCERTAINTY) * self.uncertainty(whole).float().sigmoid()
        directions = nn.functional.normalize(self.direction(local, whole).float(), dim=-1)
        rotation = full_precision_product(rotation_from_quaternions(quat_xyzw), self.anchors)
        match = self.match(whole)[:, 0].float()
        return AnchorPrediction(rotation, uncertainty, points.float(), directions, seen, match)

    def decode(self, prediction: AnchorPrediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The least uncertain rotations that differ, all with the voted centre; none for crops without points.

        Where no lines meet, the centre is the crop's. One farther off than the crop's points may be is moved nearer.
        """
        rotation = prediction.rotation.cpu().numpy().astype(np.float64)
        points, directions = prediction.points.cpu().numpy(), prediction.directions.cpu().numpy()
        seen = prediction.seen.cpu().numpy()
        center, _ = vote_centers(points, directions, seen)
        center /= np.maximum(1.0, np.linalg.norm(center, axis=1, keepdims=True) / REACH_DIAMETERS)
        uncertainty = prediction.uncertainty.cpu().numpy().astype(np.float64)
        score = HALF_SCORE / (HALF_SCORE + uncertainty) * seen[:, None]
        centers = np.repeat(center[:, None], score.shape[1], 1)
        return DecodedPoses(*distinct_poses(rotation, centers, score, self.hypotheses), certainty=score.max(1))
