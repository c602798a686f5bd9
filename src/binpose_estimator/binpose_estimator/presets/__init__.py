"""Pose estimators by name: each preset is a backbone, a conditioning, a head and a loss."""

from binpose_estimator.objective import PoseLoss
from binpose_estimator.presets.bb8 import Bb8Preset
from binpose_estimator.presets.codebook import CodebookPreset
from binpose_estimator.presets.default import DefaultPreset
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import find_preset, known_presets, register_preset
from binpose_estimator.presets.shared_regression import SharedRegressionPreset

__all__ = [
    "Bb8Preset",
    "CodebookPreset",
    "DefaultPreset",
    "PoseLoss",
    "Preset",
    "SharedRegressionPreset",
    "find_preset",
    "known_presets",
    "register_preset",
]
