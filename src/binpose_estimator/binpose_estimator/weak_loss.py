"""The inaccurate weak loss: predicted poses follow those of the annotation resolver (Mu et al., 2023, eqs. 3 and 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import NOT_NEGATIVE, check_bounds, setting
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.annotation_resolver import resolve_poses
from binpose_estimator.crops import CropInputs
from binpose_estimator.head import PosePrediction, at_cells
from binpose_estimator.objective import Objective, PoseBatch
from binpose_estimator.unlabelled_crops import DrawUnlabelled


@dataclass(frozen=True)
class WeakLossConfig:
    """A network learns from depth without poses (Mu et al., 2023). Off by default.

    enabled: whether this loss is used.
    weight: of the loss.
    batch_size: unlabelled crops per step.
    iterations: of the annotation resolver.
    confidence: w of eq. 4, against confidences of zero.
    points: of each part that are aligned.
    """

    enabled: bool = False
    weight: float = setting(1.0, bounds=NOT_NEGATIVE)
    batch_size: int = setting(16, bounds=(1, 4096))
    iterations: int = setting(20, bounds=(1, 1000))
    confidence: float = setting(0.015, bounds=NOT_NEGATIVE)
    points: int = setting(256, bounds=(8, 100_000))

    def __post_init__(self) -> None:
        check_bounds(self)


class PartPoints:
    """Surface points of parts in class order: (C, N, 3) from their centres, in diameters."""

    def __init__(self, parts: Sequence[ObjectModel], count: int) -> None:
        rows = []
        for part in parts:
            index = np.linspace(0, len(part.points) - 1, count).round().astype(np.int64)
            rows.append((part.points[index] - part.center_m) / part.diameter_m)
        self._points = torch.from_numpy(np.array(rows, np.float32))

    def of(self, classes: torch.Tensor) -> torch.Tensor:
        """(B, N, 3) those of classes (B,)."""
        return self._points.to(classes.device)[classes]


def weak_loss(
    prediction: PosePrediction, inputs: CropInputs, model: torch.Tensor, config: WeakLossConfig
) -> torch.Tensor:
    """Eq. 4 over all hypotheses, which take the place of the pixels' poses.

    Args:
        prediction: of B crops with K hypotheses.
        inputs: that carry points, valid and mask.
        model: (B, N, 3) points of the parts from their centres.
        config: the iterations and w.

    Raises:
        BinposeError: if the crops carry no points, or the network predicts something else than hypotheses.
    """
    if not isinstance(prediction, PosePrediction):
        raise BinposeError(
            f"The network predicts {type(prediction).__name__}; expected PosePrediction for the weak loss; choose a "
            "preset that predicts hypotheses, or switch the weak loss off."
        )
    observed, valid = (at_cells(inputs[name]).flatten(2) for name in ("points", "valid"))
    covered = (valid[:, 0] > 0) & (at_cells(inputs["mask"]).flatten(2)[:, 0] > 0.5)
    batch, hypotheses = prediction.confidence.shape
    rows = torch.arange(batch, device=model.device).repeat_interleave(hypotheses)
    rotation, center = prediction.rotation.flatten(0, 1), prediction.center.flatten(0, 1)
    target = resolve_poses(
        rotation, center, model[rows], observed.transpose(1, 2)[rows], covered[rows], config.iterations
    )
    expected = model[rows] @ target[0].transpose(1, 2) + target[1][:, None]
    found = model[rows] @ rotation.transpose(1, 2) + center[:, None]
    distance = (expected - found).norm(dim=-1).mean(-1).view(batch, hypotheses)
    known = (covered.sum(1) >= 3).to(distance)[:, None]
    each = distance * prediction.confidence.sigmoid() - config.confidence * logsigmoid(prediction.confidence)
    return (each * known).sum() / (known.sum() * hypotheses).clamp(min=1.0)


class WeakLossObjective(Objective):
    """The losses of another objective, and the inaccurate weak loss on unlabelled crops.

    Args:
        base: what labelled crops are learnt by.
        parts: in class order.
        unlabelled: gives the crops of each step.
        config: the weight and the resolver.
    """

    def __init__(
        self, base: Objective, parts: Sequence[ObjectModel], unlabelled: DrawUnlabelled, config: WeakLossConfig
    ) -> None:
        super().__init__(base.loss)
        self.base, self._config, self._unlabelled = base, config, unlabelled
        self._points = PartPoints(parts, config.points)

    def forward(self, network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses by name."""
        losses = self.base(network, batch)
        more = self._unlabelled(batch[0].x.device)
        prediction = network(more.inputs.x, more.classes)
        with torch.autocast(batch[0].x.device.type, enabled=False):
            weak = weak_loss(prediction, more.inputs, self._points.of(more.classes), self._config)
        return {**losses, "weak": self._config.weight * weak}
