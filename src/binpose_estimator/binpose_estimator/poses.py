"""What heads give: predictions of the network, and the poses that they are decoded into."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import torch

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crops import CropInputs

Rows = TypeVar("Rows", bound="TensorRows")


class TensorRows:
    """Base of dataclasses of tensors that have a row for each of B crops."""

    def take(self: Rows, index: torch.Tensor) -> Rows:
        """The rows of an index or boolean tensor (B,)."""
        return type(self)(**{name: value[index] for name, value in vars(self).items()})


class PoseHypotheses(NamedTuple):
    """K poses for each of B crops, in the crop's frame, lengths in diameters.

    rotation: (B, K, 3, 3). center: (B, K, 3) of the part's centre relative to the crop's centre.
    confidence: (B, K) logits; their softmax weighs the poses.
    seen: (B,) bool, whether the network saw anything of the part; None = in all crops.
    """

    rotation: torch.Tensor
    center: torch.Tensor
    confidence: torch.Tensor
    seen: torch.Tensor | None = None


class PredictedPoses(TensorRows, ABC):
    """Base of predictions that stand for poses, by which predictions of the same kind are compared.

    paired: whether hypothesis k means the same in all predictions of a crop, as that of an anchor or a pixel does.
    """

    paired: ClassVar[bool] = False

    @abstractmethod
    def hypotheses(self) -> PoseHypotheses:
        """The poses, with gradients."""


class Prediction(Protocol):
    """What a network predicts for B crops."""

    @property
    def match(self) -> torch.Tensor:
        """(B,) logit that the crop shows the part of its class; 0 where the network does not judge it."""

    def take(self, index: torch.Tensor) -> Any:
        """The predictions of an index or boolean tensor (B,)."""


def concatenate_predictions(predictions: Sequence[Any]) -> Any:
    """Predictions of one kind, dataclasses of tensors, as one prediction of all their crops in the same order."""
    first = predictions[0]
    if isinstance(first, torch.Tensor):
        return torch.cat([*predictions])
    names = (entry.name for entry in fields(first))
    return type(first)(**{n: concatenate_predictions([getattr(p, n) for p in predictions]) for n in names})


@dataclass(frozen=True)
class DecodedPoses:
    """K hypotheses for each of B crops, in the crop's frame, lengths in diameters.

    rotation: (B, K, 3, 3). center: (B, K, 3) of the part's centre relative to the crop's centre.
    score: (B, K); 0 = no pose.
    certainty: (B,) in [0, 1]; crops of low certainty are rotated and tried again.
    """

    rotation: FloatArray
    center: FloatArray
    score: FloatArray
    certainty: FloatArray

    def __post_init__(self) -> None:
        shape = self.score.shape
        assert self.rotation.shape == (*shape, 3, 3) and self.center.shape == (*shape, 3)
        assert self.certainty.shape == shape[:1]


class PoseHead(Protocol):
    """The last part of a pose network, which knows what its numbers mean."""

    def __call__(self, *features_and_classes: torch.Tensor) -> Prediction:
        """The backbone's features and classes (B,) -> the predictions of B crops."""

    def decode(self, prediction: Any, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The poses that a prediction of this head stands for; `parts` are those of the B crops."""
