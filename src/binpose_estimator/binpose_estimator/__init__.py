"""Poses of detected parts: one network for all of them, several hypotheses each.

A preset names the backbone, the conditioning, the head and the loss; `register_preset` adds one.
"""

from binpose_estimator.backbone import ConvolutionalBackbone
from binpose_estimator.crop_content import CropContent
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator, build_network
from binpose_estimator.head import HypothesesHead, PosePrediction
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import Objective
from binpose_estimator.presets import (
    Bb8Preset,
    CodebookPreset,
    DefaultPreset,
    Preset,
    SharedRegressionPreset,
    find_preset,
    known_presets,
    register_preset,
)
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig

__all__ = [
    "Bb8Preset",
    "CodebookPreset",
    "ConvolutionalBackbone",
    "CropContent",
    "DefaultPreset",
    "EstimatorConfig",
    "HypothesesHead",
    "Objective",
    "PoseEstimator",
    "PoseNetwork",
    "PosePrediction",
    "PoseTrainingConfig",
    "Preset",
    "SharedRegressionPreset",
    "build_network",
    "find_preset",
    "known_presets",
    "register_preset",
    "train_estimator",
]
