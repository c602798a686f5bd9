"""What a preset decides: what the network sees, how it is built, and what it is trained for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crop_content import CropContent
from binpose_estimator.head import PosePrediction
from binpose_estimator.losses import part_tables, pose_loss
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import Objective, PoseLoss
from binpose_estimator.poses import PredictedPoses
from binpose_estimator.regression import PoseRegression, Regression
from binpose_estimator.separate_networks import SeparateNetworks

SINGLE = "single"
"""The conditioning with which `Preset.build` makes a network for each part."""


@dataclass(frozen=True)
class Preset(ABC):
    """One kind of pose estimator; its fields are the settings of its network and are stored with the weights.

    Subclasses are frozen dataclasses whose `__post_init__` refuses nonsense, and are registered by `register_preset`.

    name: under which it is found.
    rotatable: whether a crop rotated about the line of sight is as good an input: test-time rotations use that.
    hint_layer: module whose features hint training compares: the last convolution before the conditioning.
    prediction: class of what its network predicts, where that stands for poses: distillation and consistency compare
        these.
    """

    name: ClassVar[str]
    hint_layer: ClassVar[str] = "backbone.stages.2.block"
    prediction: ClassVar[type[PredictedPoses]] = PosePrediction
    rotatable: ClassVar[bool] = True

    @property
    @abstractmethod
    def content(self) -> CropContent:
        """The images that its crops carry; a class attribute where no setting changes it."""

    @property
    def needs_depth(self) -> bool:
        """Whether frames without depth are refused."""
        return self.content.has_depth

    @abstractmethod
    def network(self, classes: int) -> PoseNetwork:
        """An untrained network for as many parts, which share it."""

    def build(self, classes: int) -> PoseNetwork:
        """An untrained network for as many parts; with the conditioning `single`, a separate one for each of them."""
        if self.settings().get("conditioning") != SINGLE:
            return self.network(classes)
        return SeparateNetworks([self.network(1) for _ in range(classes)])

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """What its network is trained for, of parts in class order; for heads that give a `PosePrediction`."""
        tables = on_device(part_tables(parts), device)
        return lambda prediction, inputs, targets: pose_loss(prediction, targets, tables)

    def objective(self, parts: Sequence[ObjectModel], device: torch.device) -> Objective:
        """What a training minimises: the loss of what the network predicts, unless a preset changes its inputs too."""
        return Objective(self.loss(parts, device))

    def regression(self, parts: Sequence[ObjectModel], device: torch.device) -> Regression:
        """What its head regresses, for distillation and consistency: the poses of its `prediction`."""
        return PoseRegression(on_device(part_tables(parts), device), self.prediction)

    def settings(self) -> dict[str, Any]:
        """Its fields as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Preset":
        """The inverse of `settings`, also after a way through JSON."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})
