"""Pose estimators by name: each preset is a backbone, a conditioning, a head and a loss."""

from binpose_estimator.objective import PoseLoss
from binpose_estimator.presets.bb8 import Bb8Preset
from binpose_estimator.presets.codebook import CodebookPreset
from binpose_estimator.presets.dcnet import DcNetPreset
from binpose_estimator.presets.default import DefaultPreset
from binpose_estimator.presets.densefusion import DenseFusionPreset
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import find_preset, known_presets, register_preset
from binpose_estimator.presets.shared_regression import SharedRegressionPreset
from binpose_estimator.presets.weighted_densefusion import WeightedDenseFusionPreset

__all__ = [
    "Bb8Preset",
    "CodebookPreset",
    "DcNetPreset",
    "DefaultPreset",
    "DenseFusionPreset",
    "PoseLoss",
    "Preset",
    "SharedRegressionPreset",
    "WeightedDenseFusionPreset",
    "find_preset",
    "known_presets",
    "register_preset",
]
