import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_recording.frame_bag import camera_topics, frame_messages
from binpose_recording.keyframes import KeyframeChooser
from binpose_recording.shrinking import Shrinker

from .test_frame_bag import frames  # noqa: F401

TOPICS = {topic.name: topic for topic in camera_topics()}


def test_the_thumbnail_of_a_message_is_that_of_its_frame(frames):  # noqa: F811
    _, color, depth = (message for message, _ in frame_messages(frames[0]))
    thumbnail = Shrinker(TOPICS)(color, depth)
    assert abs(thumbnail.gray.mean() - frames[0].gray.mean()) < 1
    valid = frames[0].depth_m > 0
    assert abs(thumbnail.valid.mean() - valid.mean()) < 0.02
    assert abs(np.nanmean(thumbnail.depth_m) - frames[0].depth_m[valid].mean()) < 0.01
    assert not KeyframeChooser().differ(thumbnail, Shrinker(TOPICS)(color, depth))


def test_damaged_messages_are_refused(frames):  # noqa: F811
    _, color, depth = (message for message, _ in frame_messages(frames[0]))
    with pytest.raises(BinposeError, match="sensor_msgs/msg/Image"):
        Shrinker(TOPICS)(color._replace(data=color.data[:100]), depth)
