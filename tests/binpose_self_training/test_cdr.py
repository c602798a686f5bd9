import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_ros.frames import to_frame
from binpose_self_training.cdr import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagTypes, read_image, read_message
from binpose_self_training.frame_bag import frame_messages
from binpose_self_training.messages import RawMessage

from .conftest import START_NS
from .test_frame_bag import frames  # noqa: F401


@pytest.fixture
def serialized(frames):  # noqa: F811
    """The camera info, colour and depth of a frame."""
    return [message.data for message, _ in frame_messages(frames[0])]


def test_a_frame_survives_its_serialization(frames, serialized):  # noqa: F811
    info, color, depth = serialized
    read = to_frame(read_image(color, IMAGE), read_image(depth, IMAGE), read_message(info, CAMERA_INFO))
    np.testing.assert_array_equal(read.color, frames[0].color)
    np.testing.assert_array_equal(read.depth_m, frames[0].depth_m)


@pytest.mark.parametrize("size", [0, 3, 4, 11, 30, 60, 1000])
def test_wherever_a_message_is_cut_one_sentence_says_so(serialized, size):
    for data, kind in zip(serialized, (CAMERA_INFO, IMAGE, IMAGE), strict=True):
        if size < len(data):
            with pytest.raises(BinposeError, match=f"{size} bytes are no {kind}"):
                read_message(data[:size], kind)


def test_rubbish_is_no_message(rng):
    for _ in range(50):
        with pytest.raises(BinposeError):
            read_image(rng.bytes(int(rng.integers(0, 300))), COMPRESSED_IMAGE)


def test_only_the_messages_that_the_conversions_need_are_there():
    assert BagTypes().Image.__msgtype__ == IMAGE
    with pytest.raises(AttributeError):
        BagTypes().Nonsense  # noqa: B018
    assert RawMessage("/a", START_NS, b"").stamp_ns == START_NS
