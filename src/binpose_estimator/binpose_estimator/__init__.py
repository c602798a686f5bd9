"""Poses of detected parts: one network for all of them, several hypotheses each."""

from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.head import PosePrediction
from binpose_estimator.network import PoseNetwork
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig

__all__ = [
    "EstimatorConfig",
    "PoseEstimator",
    "PoseNetwork",
    "PosePrediction",
    "PoseTrainingConfig",
    "train_estimator",
]
