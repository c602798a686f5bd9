"""Pose estimators by name: each preset is a backbone, a conditioning, a head and a loss."""

from binpose_estimator.presets.dcnet import DcNetPreset
from binpose_estimator.presets.default import DefaultPreset
from binpose_estimator.presets.densefusion import DenseFusionPreset
from binpose_estimator.presets.preset import PoseLoss, Preset
from binpose_estimator.presets.registry import find_preset, known_presets, register_preset
from binpose_estimator.presets.weighted_densefusion import WeightedDenseFusionPreset

__all__ = [
    "DcNetPreset",
    "DefaultPreset",
    "DenseFusionPreset",
    "PoseLoss",
    "Preset",
    "WeightedDenseFusionPreset",
    "find_preset",
    "known_presets",
    "register_preset",
]
