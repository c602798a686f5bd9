"""What a head regresses, as points: by these, predictions are compared with the truth and with each other.

The box corners of Sock et al. (2020) are such points. A head that predicts poses has the corners of a cube at each of
them.
"""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from binpose_core.base.errors import BinposeError
from binpose_estimator.crops import CropInputs
from binpose_estimator.head import PosePrediction
from binpose_estimator.losses import PartTables, PoseTargets

CUBE = torch.tensor([*itertools.product((-1.0, 1.0), repeat=3)]) / (2.0 * 3.0**0.5)
"""(8, 3) corners of a cube whose diagonal is one diameter."""


@dataclass(frozen=True)
class Equivalents:
    """Values (B, S, N, D) that stand for the same pose modulo symmetry, and which of them are valid (B, S)."""

    values: torch.Tensor
    valid: torch.Tensor

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """(B, K) distance of each hypothesis' points (B, K, N, D) to the nearest valid equivalent."""
        apart = point_distance(points[:, :, None], self.values[:, None])
        return apart.masked_fill(~self.valid[:, None], torch.inf).amin(-1)


class CropPoses(NamedTuple):
    """rotation (B, 3, 3) and center (B, 3) of the part from the crop's centre, in the crop's frame, in diameters."""

    rotation: torch.Tensor
    center: torch.Tensor


class Regression(ABC):
    """N points in R^D for each of K hypotheses of a prediction, and what they are at the true pose.

    kind: class of the predictions that it compares.
    """

    kind: type[Any]

    @abstractmethod
    def points(self, prediction: Any) -> torch.Tensor:
        """(B, K, N, D) of a prediction of B crops."""

    def confidence(self, prediction: Any) -> torch.Tensor:
        """(B, K) logits; by default the first hypothesis is the only one."""
        points = self.points(prediction)
        return torch.zeros(points.shape[:2], device=points.device)

    @abstractmethod
    def truth(self, inputs: CropInputs, targets: PoseTargets) -> Equivalents:
        """The points at all poses that are equivalent to the true ones."""

    @abstractmethod
    def poses(self, prediction: Any, inputs: CropInputs, classes: torch.Tensor) -> CropPoses:
        """The pose of the most confident hypothesis, with gradients."""

    def equivalents(self, points: torch.Tensor, classes: torch.Tensor) -> Equivalents:
        """Those of points (B, N, D) of one hypothesis; by default there is no other one."""
        return Equivalents(points[:, None], torch.ones(len(points), 1, dtype=torch.bool, device=points.device))

    def best(self, prediction: Any) -> torch.Tensor:
        """(B, N, D) points of the most confident hypothesis."""
        return chosen(self.points(prediction), self.confidence(prediction).argmax(1))

    def check(self, prediction: Any, subject: str) -> None:
        """Refuse a prediction of another kind.

        Raises:
            BinposeError: naming the kinds.
        """
        if not isinstance(prediction, self.kind):
            raise BinposeError(
                f"The {subject} predicts {type(prediction).__name__}, but {self.kind.__name__} is compared; expected "
                f"the same kind of prediction; choose a {subject} whose preset has it, or override "
                "`Preset.regression`."
            )


class PoseRegression(Regression):
    """Of poses: the corners of a cube at each of them.

    Args:
        tables: symmetries of the parts in class order.
    """

    kind = PosePrediction

    def __init__(self, tables: PartTables) -> None:
        self._tables = tables

    def points(self, prediction: PosePrediction) -> torch.Tensor:
        """(B, K, 8, 3) in diameters, in the crop's frame."""
        return cube_at(prediction.rotation, prediction.center)

    def confidence(self, prediction: PosePrediction) -> torch.Tensor:
        """(B, K) logits."""
        return prediction.confidence

    def truth(self, inputs: CropInputs, targets: PoseTargets) -> Equivalents:
        """The corners at the true pose and at those that symmetries make of it."""
        return self._equivalents(targets.rotation, targets.center, targets.classes)

    def poses(self, prediction: PosePrediction, inputs: CropInputs, classes: torch.Tensor) -> CropPoses:
        """The pose of the most confident hypothesis."""
        index = prediction.confidence.argmax(1)
        return CropPoses(chosen(prediction.rotation, index), chosen(prediction.center, index))

    def equivalents(self, points: torch.Tensor, classes: torch.Tensor) -> Equivalents:
        """The corners (B, 8, 3) after all symmetries of the classes."""
        cube = CUBE.to(points)
        center = points.mean(1)
        rotation = (points - center[:, None]).transpose(1, 2) @ cube / cube.square().sum(0)
        return self._equivalents(rotation, center, classes)

    def _equivalents(self, rotation: torch.Tensor, center: torch.Tensor, classes: torch.Tensor) -> Equivalents:
        tables = self._tables
        turned = rotation[:, None] @ tables.symmetries[classes]
        moved = center[:, None] + (rotation[:, None] @ tables.shifts[classes][..., None])[..., 0]
        return Equivalents(cube_at(turned, moved), tables.valid[classes])


def cube_at(rotation: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """(..., 8, 3) corners of the cube at poses (..., 3, 3) and (..., 3)."""
    return CUBE.to(rotation) @ rotation.transpose(-1, -2) + center[..., None, :]


def point_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(...,) root mean square distance of points (..., N, D)."""
    return ((a - b).square().sum(-1).mean(-1) + 1e-12).sqrt()


def chosen(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Of values (B, K, ...) those of each index (B,)."""
    return values[torch.arange(len(index), device=index.device), index]
