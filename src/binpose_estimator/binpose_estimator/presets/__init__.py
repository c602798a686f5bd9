"""Pose estimators by name: each preset is a backbone, a conditioning, a head and a loss."""

from binpose_estimator.presets.default import DefaultPreset
from binpose_estimator.presets.preset import PoseLoss, Preset
from binpose_estimator.presets.registry import find_preset, known_presets, register_preset

__all__ = ["DefaultPreset", "PoseLoss", "Preset", "find_preset", "known_presets", "register_preset"]
