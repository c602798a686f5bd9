"""Instance segmentation of full bins: a frame in, one detection per visible part out."""

from binpose_detection.augmentation import AugmentationConfig
from binpose_detection.grouping import GroupingConfig
from binpose_detection.network import SegmentationNetwork
from binpose_detection.segmenter import Segmenter, SegmenterConfig, Votes
from binpose_detection.training import SegmentationTrainingConfig, train_segmenter

__all__ = [
    "AugmentationConfig",
    "GroupingConfig",
    "SegmentationNetwork",
    "SegmentationTrainingConfig",
    "Segmenter",
    "SegmenterConfig",
    "Votes",
    "train_segmenter",
]
