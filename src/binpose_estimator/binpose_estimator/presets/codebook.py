"""The preset `codebook`: the nearest of rendered views by an autoencoder's code, the baseline of Bengtson et al."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.autoencoder import AutoencoderBackbone, AutoencoderObjective
from binpose_estimator.codebook import CodebookNetwork, CodeHead
from binpose_estimator.conditioning import Unconditioned
from binpose_estimator.crop_content import CropContent
from binpose_estimator.network import PoseNetwork
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.objective import Objective, PoseLoss
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset
from binpose_estimator.regression import Regression


@register_preset
@dataclass(frozen=True)
class CodebookPreset(Preset):
    """Rotations alone: the centre is that of the detection, and the match is not judged.

    widths: channels of the encoder's convolutions. views: viewing directions in the codebook. turns: rotations about
    the line of sight for each of them. hypotheses: nearest views that are poses.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    views: int = 240
    turns: int = 18
    hypotheses: int = 4

    name = "codebook"
    content = CropContent(("rgb",))

    def __post_init__(self) -> None:
        if len(self.widths) != 4:
            raise BinposeError(f"widths must be 4 numbers, from 64 to 4 pixels, got {self.widths}.")
        if not 1 <= self.hypotheses <= self.views * self.turns:
            raise BinposeError(
                f"hypotheses must be >= 1 and at most views * turns, got {self.hypotheses}, {self.views} and "
                f"{self.turns}."
            )

    def network(self, classes: int) -> PoseNetwork:
        """The encoder with a codebook of each part that it meets."""
        backbone = AutoencoderBackbone(self.content.size_px, classes, self.widths, Unconditioned, fine_tune=False)
        return CodebookNetwork(backbone, CodeHead(), self.content, self.views, self.turns, self.hypotheses)

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """Nothing beside the reconstruction."""
        return lambda prediction, inputs, targets: {}

    def regression(self, parts: Sequence[ObjectModel], device: torch.device) -> Regression:
        """Raises BinposeError: poses are looked up, so that there is nothing to compare."""
        raise BinposeError(
            "The preset 'codebook' looks up its poses; expected a preset that regresses them, for teachers and for "
            "pose consistency; choose another one."
        )

    def objective(self, parts: Sequence[ObjectModel], device: torch.device) -> Objective:
        """The reconstruction of clean renderings, of parts in class order."""
        return AutoencoderObjective(self.loss(parts, device), NormalizedRenderer(parts))
