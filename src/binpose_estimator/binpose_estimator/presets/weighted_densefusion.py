"""The preset `weighted_densefusion`: dense fusion with attention, and iterative refinement (Mu et al., 2023)."""

from dataclasses import dataclass
from typing import ClassVar

from binpose_core.base.settings import setting
from binpose_estimator.presets.densefusion import DenseFusionPreset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class WeightedDenseFusionPreset(DenseFusionPreset):
    """`DenseFusionPreset` with weights for each point on both branches, and two refinements of the best pose."""

    refinements: int = setting(2, bounds=(0, 10))

    name = "weighted_densefusion"
    attention: ClassVar[bool] = True
