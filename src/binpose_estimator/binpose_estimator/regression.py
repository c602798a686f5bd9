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
from binpose_estimator.losses import PartTables, PoseTargets, symmetric_poses
from binpose_estimator.poses import PredictedPoses

CUBE = torch.tensor([*itertools.product((-1.0, 1.0), repeat=3)]) / (2.0 * 3.0**0.5)
"""(8, 3) corners of a cube whose diagonal is one diameter."""


@dataclass(frozen=True)
class Equivalents:
    """Values (B, K, S, N, D), S of which stand for the same pose modulo symmetry, and which of these are valid (B, S).

    K is that of the hypotheses, or 1.
    """

    values: torch.Tensor
    valid: torch.Tensor

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """(B, K) distance of points (B, K, N, D) to the nearest valid equivalent of the same or only hypothesis."""
        apart = point_distance(points[:, :, None], self.values)
        return apart.masked_fill(~self.valid[:, None], torch.inf).amin(-1)

    def take(self, index: torch.Tensor) -> "Equivalents":
        """Those of an index or boolean tensor (B,)."""
        return Equivalents(self.values[index], self.valid[index])


class CropPoses(NamedTuple):
    """rotation (B, 3, 3) and center (B, 3) of the part from the crop's centre, in the crop's frame, in diameters."""

    rotation: torch.Tensor
    center: torch.Tensor


class Regression(ABC):
    """N points in R^D for each of K hypotheses of a prediction, and what they are at the true pose.

    kind: class of the predictions that it compares.
    paired: whether hypothesis k means the same in all predictions of a crop, so that these are compared one by one.
    """

    kind: type[Any]
    paired: bool = False

    @abstractmethod
    def points(self, prediction: Any) -> torch.Tensor:
        """(B, K, N, D) of a prediction of B crops."""

    def confidence(self, prediction: Any) -> torch.Tensor:
        """(B, K) logits, whose softmax weighs the hypotheses; by default the first one is the only one."""
        points = self.points(prediction)
        return torch.zeros(points.shape[:2], device=points.device)

    def seen(self, prediction: Any) -> torch.Tensor:
        """(B,) bool, whether the network saw anything of the part; by default in all crops."""
        return torch.ones_like(prediction.match, dtype=torch.bool)

    @abstractmethod
    def truth(self, inputs: CropInputs, targets: PoseTargets) -> Equivalents:
        """The points at all poses that are equivalent to the true ones."""

    @abstractmethod
    def poses(self, prediction: Any, inputs: CropInputs, classes: torch.Tensor) -> CropPoses:
        """The pose of the most confident hypothesis, with gradients."""

    @abstractmethod
    def equivalents(self, points: torch.Tensor, inputs: CropInputs, classes: torch.Tensor) -> Equivalents:
        """What symmetries make of points (B, K, N, D) of crops of the classes (B,)."""

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
        kind: of the predictions.
    """

    def __init__(self, tables: PartTables, kind: type[PredictedPoses]) -> None:
        self._tables, self.kind, self.paired = tables, kind, kind.paired

    def points(self, prediction: PredictedPoses) -> torch.Tensor:
        """(B, K, 8, 3) in diameters, in the crop's frame."""
        found = prediction.hypotheses()
        return cube_at(found.rotation, found.center)

    def confidence(self, prediction: PredictedPoses) -> torch.Tensor:
        """(B, K) logits."""
        return prediction.hypotheses().confidence

    def seen(self, prediction: PredictedPoses) -> torch.Tensor:
        """(B,) bool, those of the prediction."""
        found = prediction.hypotheses()
        return torch.ones_like(found.confidence[:, 0], dtype=torch.bool) if found.seen is None else found.seen

    def truth(self, inputs: CropInputs, targets: PoseTargets) -> Equivalents:
        """The corners at the true pose and at those that symmetries make of it."""
        return self._equivalents(targets.rotation[:, None], targets.center[:, None], targets.classes)

    def poses(self, prediction: PredictedPoses, inputs: CropInputs, classes: torch.Tensor) -> CropPoses:
        """The pose of the most confident hypothesis."""
        found = prediction.hypotheses()
        index = found.confidence.argmax(1)
        return CropPoses(chosen(found.rotation, index), chosen(found.center, index))

    def equivalents(self, points: torch.Tensor, inputs: CropInputs, classes: torch.Tensor) -> Equivalents:
        """The corners (B, K, 8, 3) after all symmetries of the classes."""
        cube = CUBE.to(points)
        center = points.mean(2)
        rotation = (points - center[:, :, None]).transpose(2, 3) @ cube / cube.square().sum(0)
        return self._equivalents(rotation, center, classes)

    def _equivalents(self, rotation: torch.Tensor, center: torch.Tensor, classes: torch.Tensor) -> Equivalents:
        """Of poses (B, K, 3, 3) and (B, K, 3)."""
        shape = rotation.shape[:2]
        each = classes.repeat_interleave(shape[1])
        found = symmetric_poses(rotation.flatten(0, 1), center.flatten(0, 1), each, self._tables)
        return Equivalents(cube_at(found.rotation, found.center).unflatten(0, shape), self._tables.valid[classes])


def cube_at(rotation: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """(..., 8, 3) corners of the cube at poses (..., 3, 3) and (..., 3)."""
    return CUBE.to(rotation) @ rotation.transpose(-1, -2) + center[..., None, :]


def point_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(...,) root mean square distance of points (..., N, D)."""
    return ((a - b).square().sum(-1).mean(-1) + 1e-12).sqrt()


def chosen(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Of values (B, K, ...) those of each index (B,)."""
    return values[torch.arange(len(index), device=index.device), index]
