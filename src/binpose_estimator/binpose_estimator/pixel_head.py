"""A pose from every sampled point (Wang et al., 2019), and residual poses of the most confident one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import Conditioning
from binpose_estimator.crops import CropInputs
from binpose_estimator.distinct_poses import distinct_poses
from binpose_estimator.point_fusion import GLOBAL
from binpose_estimator.poses import DecodedPoses, PoseHypotheses, PredictedPoses
from binpose_estimator.quaternions import near_identity, rotation_from_quaternions
from binpose_estimator.regressor import PixelRegressor
from binpose_estimator.residual_poses import ResidualPoses


@dataclass(frozen=True)
class PixelPoses(PredictedPoses):
    """In the frame of the crop's virtual camera, lengths in diameters; one pose for each of N points.

    rotation: (B, N, 3, 3). center: (B, N, 3) of the part's centre relative to the centre of the crop.
    confidence: (B, N) logits of the confidence in (0, 1).
    refined_rotation, refined_center: (B, K, 3, 3) and (B, K, 3), the most confident pose after each refinement.
    seen: (B,) bool, whether the crop has any point.
    match: (B,) logit that the crop shows the part it was asked for.
    """

    rotation: torch.Tensor
    center: torch.Tensor
    confidence: torch.Tensor
    refined_rotation: torch.Tensor
    refined_center: torch.Tensor
    seen: torch.Tensor
    match: torch.Tensor

    paired: ClassVar[bool] = True

    def hypotheses(self) -> PoseHypotheses:
        """The poses of all points, weighed by their confidences; the last refinement weighs as much as all."""
        confidence = functional.logsigmoid(self.confidence)
        refined = self.refined_rotation[:, -1:], self.refined_center[:, -1:]
        weight = confidence.logsumexp(1, keepdim=True)[:, : refined[0].shape[1]]
        return PoseHypotheses(
            torch.cat([self.rotation, refined[0]], 1),
            torch.cat([self.center, refined[1]], 1),
            torch.cat([confidence, weight], 1),
            self.seen,
        )


class PixelPoseHead(nn.Module):
    """`FusedFeatures` -> a rotation, an offset to the centre and a confidence at each point.

    The match is beyond the paper, whose networks know one part each.

    Args:
        width: w of the features. hypotheses: decoded poses per crop.
        refinements: K of Mu et al., eq. 5; 0 = none. The others are those of the refinements' network.
    """

    def __init__(
        self, width: int, classes: int, hypotheses: int, refinements: int, conditioning: Conditioning, attention: bool
    ) -> None:
        super().__init__()
        self.hypotheses = hypotheses
        self.rotation, self.offset, self.confidence = (PixelRegressor(width, outputs) for outputs in (4, 3, 1))
        self.match = nn.Linear(GLOBAL * width, 1)
        self.residuals = ResidualPoses(width, classes, refinements, conditioning, attention) if refinements else None

    def forward(
        self,
        points: torch.Tensor,
        seen: torch.Tensor,
        colors: torch.Tensor,
        local: torch.Tensor,
        whole: torch.Tensor,
        classes: torch.Tensor,
    ) -> PixelPoses:
        """`FusedFeatures` and classes (B,) -> poses in float32."""
        rotation = rotation_from_quaternions(near_identity(self.rotation(local, whole).float()))
        center = points.float() + self.offset(local, whole).float()
        confidence = self.confidence(local, whole)[..., 0].float()
        refined_rotation, refined_center = rotation[:, :0], center[:, :0]
        if self.residuals is not None:
            best = confidence.argmax(1)[:, None, None]
            start = rotation.gather(1, best[..., None].expand(-1, 1, 3, 3)), center.gather(1, best.expand(-1, 1, 3))
            refined_rotation, refined_center = self.residuals(start[0][:, 0], start[1][:, 0], points, colors, classes)
        match = self.match(whole)[:, 0].float()
        return PixelPoses(rotation, center, confidence, refined_rotation, refined_center, seen, match)

    def decode(self, prediction: PixelPoses, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The most confident poses that differ; the best one as it was refined. Crops without points have none."""
        rotation, center = (v.cpu().numpy().astype(np.float64) for v in (prediction.rotation, prediction.center))
        score = prediction.confidence.sigmoid().cpu().numpy() * prediction.seen.cpu().numpy()[:, None]
        if prediction.refined_rotation.shape[1]:
            batch, best = np.arange(len(score)), score.argmax(1)
            rotation[batch, best] = prediction.refined_rotation[:, -1].cpu().numpy()
            center[batch, best] = prediction.refined_center[:, -1].cpu().numpy()
        return DecodedPoses(*distinct_poses(rotation, center, score, self.hypotheses), certainty=score.max(1))
