"""Instance segmentation of full bins: a frame in, one detection per visible part out."""

from binpose_detection.augmentation import AugmentationConfig
from binpose_detection.backends import segmenter_from_tensors
from binpose_detection.grouping import GroupingConfig
from binpose_detection.mask_rcnn import MaskRcnnConfig, MaskRcnnSegmenter
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig, train_mask_rcnn
from binpose_detection.network import SegmentationNetwork
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter
from binpose_detection.training import SegmentationTrainingConfig, train_segmenter
from binpose_detection.votes import Votes

__all__ = [
    "AugmentationConfig",
    "GroupingConfig",
    "MaskRcnnConfig",
    "MaskRcnnSegmenter",
    "MaskRcnnTrainingConfig",
    "SegmentationNetwork",
    "SegmentationTrainingConfig",
    "SegmenterConfig",
    "VoteSegmenter",
    "Votes",
    "segmenter_from_tensors",
    "train_mask_rcnn",
    "train_segmenter",
]
