"""From features to poses: several hypotheses with confidence, and dense object coordinates."""

from dataclasses import dataclass

import torch
from torch import nn

from binpose_estimator.conditioning import ConditionalInstanceNorm


@dataclass(frozen=True)
class PosePrediction:
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

    def take(self, index: torch.Tensor) -> "PosePrediction":
        """The predictions of an index or boolean tensor (B,)."""
        return PosePrediction(**{name: value[index] for name, value in vars(self).items()})


class HypothesesHead(nn.Module):
    """Features (B, C, 8, 8) -> K poses and a match; (B, c, 16, 16) beside it -> object coordinates."""

    def __init__(self, fine: int, coarse: int, classes: int, hypotheses: int, hidden: int = 384) -> None:
        super().__init__()
        self.hypotheses = hypotheses
        self.squeeze = nn.Sequential(nn.Conv2d(coarse, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.embedding = nn.Embedding(classes, 64)
        self.regress = nn.Sequential(
            nn.Linear(32 * 64 + 64, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True)
        )
        self.rotation = nn.Linear(hidden, 6 * hypotheses)
        self.center = nn.Linear(hidden, 3 * hypotheses)
        self.confidence = nn.Linear(hidden, hypotheses)
        self.match = nn.Linear(hidden, 1)
        nn.init.normal_(self.rotation.bias, std=1.0)
        nn.init.zeros_(self.center.weight)
        self.lateral = nn.Conv2d(coarse, fine, 1)
        self.dense = nn.Sequential(
            nn.Conv2d(fine, fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.ReLU(inplace=True)
        )
        self.condition = ConditionalInstanceNorm(fine, classes)
        self.coordinates = nn.Sequential(
            nn.Conv2d(fine, fine, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(fine, 4, 1)
        )

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        """Features (B, c, 16, 16) and (B, C, 8, 8), classes (B,) -> poses in float32."""
        batch = coarse.shape[0]
        x = torch.cat([self.squeeze(coarse).flatten(1), self.embedding(classes)], 1)
        x = self.regress(x)
        dense = fine + nn.functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        dense = self.coordinates(torch.relu(dense + self.condition(self.dense(dense), classes)))
        return PosePrediction(
            rotation=rotation_from_6d(self.rotation(x).float().view(batch, self.hypotheses, 6)),
            center=self.center(x).float().view(batch, self.hypotheses, 3),
            confidence=self.confidence(x).float(),
            coordinates=dense[:, :3].float(),
            coordinate_scale=dense[:, 3].float(),
            match=self.match(x)[:, 0].float(),
        )


def rotation_from_6d(sixd: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) of the continuous 6D representation (..., 6), its first two columns (Zhou et al., 2019)."""
    x = nn.functional.normalize(sixd[..., :3], dim=-1)
    y = nn.functional.normalize(sixd[..., 3:] - (x * sixd[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
