"""Records camera topics as bags that ROS 2 can play and binpose can read without ROS."""

from binpose_recording.bag_frames import BagFrame, BagFrames, bag_frames
from binpose_recording.bag_reader import Bag, is_bag
from binpose_recording.bag_topics import CameraTopics
from binpose_recording.bag_writer import BagWriter, write_bag
from binpose_recording.config import BagConfig, KeyframeConfig, RecorderConfig, Role
from binpose_recording.frame_bag import write_frames
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.recorder import Recorder, RecorderStatus
from binpose_recording.recovery import Recovery, recover_recordings, repair_bag

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
