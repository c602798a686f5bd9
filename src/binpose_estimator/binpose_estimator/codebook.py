"""Rotations of the rendered views whose codes are nearest to that of a crop (Sundermeyer et al., 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from binpose_core.geometry.transforms import FloatArray, exp_so3
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.orbit import view_rotations
from binpose_estimator.crop_content import CropContent
from binpose_estimator.crops import CropInputs
from binpose_estimator.network import PoseNetwork
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.poses import DecodedPoses, Prediction, TensorRows

DISTANCE = 8.0
"""Of the views in diameters."""
SHARPNESS = 20.0
"""Factor of the cosine in the softmax that gives the scores."""
VIEWS_AT_ONCE = 256


@dataclass(frozen=True)
class CodePrediction(TensorRows):
    """code: (B, 128). reconstruction: (B, 1, n, n) in training, else (B, 0). match: (B,) zeros: it is not judged."""

    code: torch.Tensor
    reconstruction: torch.Tensor
    match: torch.Tensor


class CodeHead(nn.Module):
    """The code of a crop as the prediction."""

    def forward(
        self, code: torch.Tensor, pose_code: torch.Tensor, reconstruction: torch.Tensor, classes: torch.Tensor
    ) -> CodePrediction:
        """Codes (B, 128), those for poses, reconstructions and classes (B,) -> the codes in float32."""
        return CodePrediction(code.float(), reconstruction, torch.zeros(code.shape[0], device=code.device))


@dataclass(frozen=True)
class Codebook:
    """Views of one part: rotations (V, 3, 3) of the part in the camera frame, codes (V, 128) of unit length."""

    rotations: FloatArray
    codes: torch.Tensor

    def nearest(self, code: torch.Tensor, count: int) -> tuple[FloatArray, FloatArray]:
        """Rotations (B, count, 3, 3) of the views nearest to codes (B, 128), best first, and cosines (B, count)."""
        cosine = functional.normalize(code, dim=1) @ self.codes.T
        best = cosine.topk(count, dim=1)
        return self.rotations[best.indices.cpu().numpy()], best.values.double().cpu().numpy()


class CodebookNetwork(PoseNetwork):
    """An encoder whose codes are looked up among those of rendered views.

    The views of a part are rendered and encoded when it is first decoded, in evaluation mode, and kept until the mode
    is set again: the codes belong to the weights. A part needs no training of its own.

    Args:
        backbone: of codes.
        head: a `CodeHead`.
        content: of the crops.
        views: viewing directions. turns: rotations about the line of sight for each of them.
        hypotheses: nearest views that are poses.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, content: CropContent, views: int, turns: int, hypotheses: int
    ) -> None:
        super().__init__(backbone, head)
        self.content, self.views, self.turns, self.hypotheses = content, views, turns, hypotheses
        self._codebooks: dict[str, Codebook] = {}

    def train(self, mode: bool = True) -> "CodebookNetwork":
        """Set the mode, and forget the codebooks."""
        self._codebooks = {}
        super().train(mode)
        return self

    def decode(self, prediction: Prediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The rotations of the nearest views, at the centres of the crops; the certainty is 0."""
        assert isinstance(prediction, CodePrediction)
        rotation = np.zeros((len(parts), self.hypotheses, 3, 3))
        cosine = np.zeros((len(parts), self.hypotheses))
        ids = np.array([part.id for part in parts])
        for part in {part.id: part for part in parts}.values():
            rows = np.flatnonzero(ids == part.id)
            chosen = torch.from_numpy(rows).to(prediction.code.device)
            rotation[rows], cosine[rows] = self.codebook(part).nearest(prediction.code[chosen], self.hypotheses)
        score = np.exp(SHARPNESS * (cosine - cosine.max(1, keepdims=True)))
        score /= score.sum(1, keepdims=True)
        return DecodedPoses(rotation, np.zeros((*score.shape, 3)), score, np.zeros(len(parts)))

    def codebook(self, part: ObjectModel) -> Codebook:
        """The views of a part with their codes, computed once."""
        if part.digest not in self._codebooks:
            self._codebooks[part.digest] = self._encoded_views(part)
        return self._codebooks[part.digest]

    @torch.inference_mode()
    def _encoded_views(self, part: ObjectModel) -> Codebook:
        device = next(self.backbone.parameters()).device
        rotations = np.ascontiguousarray(view_grid(self.views, self.turns))
        renderer, codes = NormalizedRenderer([part]), []
        for some in np.array_split(rotations, -(-len(rotations) // VIEWS_AT_ONCE)):
            number = len(some)
            blank = torch.zeros(number, self.content.channels, self.content.size_px, self.content.size_px)
            inputs = CropInputs(self.content, blank, torch.full((number,), DISTANCE))
            place = torch.tensor([0.0, 0.0, DISTANCE]).expand(number, 3)
            classes = torch.zeros(number, dtype=torch.int64)
            images = renderer.shaded(classes, torch.from_numpy(some), place, inputs).to(device)
            code = self.backbone(images.expand(-1, 3, -1, -1), classes.to(device))[0]
            codes.append(functional.normalize(code.float(), dim=1))
        return Codebook(rotations, torch.cat(codes))


def view_grid(views: int, turns: int) -> FloatArray:
    """Rotations (views * turns, 3, 3) spread over SO(3): viewing directions, and turns about the line of sight."""
    angles = np.arange(turns) * 2 * np.pi / turns
    about = exp_so3(angles[:, None] * np.array([0.0, 0.0, 1.0]))
    return (about[None] @ view_rotations(views)[:, None]).reshape(-1, 3, 3)
