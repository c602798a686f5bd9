"""Recording of what the robot sees: bags that ROS 2 plays, and that binpose reads without ROS."""

from binpose_self_training.bag_frames import BagFrame, BagFrames, bag_frames
from binpose_self_training.bag_reader import Bag, is_bag
from binpose_self_training.bag_topics import CameraTopics
from binpose_self_training.bag_writer import BagWriter, write_bag
from binpose_self_training.config import BagConfig, KeyframeConfig, RecorderConfig, Role
from binpose_self_training.frame_bag import write_frames
from binpose_self_training.messages import RawMessage, Topic
from binpose_self_training.recorder import Recorder, RecorderStatus
from binpose_self_training.recovery import Recovery, recover_recordings, repair_bag

__all__ = [
    "Bag",
    "BagConfig",
    "BagFrame",
    "BagFrames",
    "BagWriter",
    "CameraTopics",
    "KeyframeConfig",
    "RawMessage",
    "Recorder",
    "RecorderConfig",
    "RecorderStatus",
    "Recovery",
    "Role",
    "Topic",
    "bag_frames",
    "is_bag",
    "recover_recordings",
    "repair_bag",
    "write_bag",
    "write_frames",
]
