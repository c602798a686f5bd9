import struct

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_recording.cdr import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    BagTypes,
    read_image,
    read_message,
    write_message,
)
from binpose_recording.frame_bag import frame_messages
from binpose_recording.messages import RawMessage
from binpose_ros.frames import to_frame
from binpose_ros.images import to_color, to_depth_m
from binpose_ros.stamps import Header, to_header

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


def decoded(format, data):
    """The image in a compressed message of these bytes."""
    types = BagTypes()
    header = to_header(Header(START_NS, "optical"), types)
    message = types.CompressedImage(header=header, format=format, data=types.octets(data))
    return read_image(write_message(message), COMPRESSED_IMAGE)


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def compressed_depth_m(depth_m, quantization=100.0, farthest_m=10.0):
    """A float image as image_transport's compressedDepth stores it: inverse depth, and the two numbers to undo it."""
    a = quantization * (quantization + 1.0)
    b = 1.0 - a / farthest_m
    stored = np.where(depth_m < farthest_m, a / depth_m + b, 0).astype(np.uint16)
    return struct.pack("<iff", 1, a, b) + png(stored)


def test_compressed_depth_of_a_float_camera_is_read_in_metres(rng):
    depth_m = rng.uniform(0.3, 2.0, (24, 32)).astype(np.float32)
    depth_m[:4] = np.nan
    read = to_depth_m(decoded("32FC1; compressedDepth png", compressed_depth_m(depth_m)))
    assert (np.isnan(read[:4]) | (read[:4] == 0)).all()
    step_m = depth_m[4:] ** 2 / 10100  # of the inverse depth
    assert (np.abs(read[4:] - depth_m[4:]) <= 1.01 * step_m + 1e-6).all()


def test_compressed_depth_in_millimetres_is_read_in_metres(rng):
    depth_mm = rng.integers(300, 2000, (24, 32)).astype(np.uint16)
    read = to_depth_m(decoded("16UC1; compressedDepth png", bytes(12) + png(depth_mm)))
    np.testing.assert_allclose(read, depth_mm / 1e3, rtol=1e-6)


@pytest.mark.parametrize("header", [struct.pack("<iff", 1, 0.0, 0.0), struct.pack("<iff", 1, float("nan"), 1.0)])
def test_compressed_depth_without_its_quantisation_is_refused(header):
    with pytest.raises(BinposeError, match="32FC1; compressedDepth"):
        decoded("32FC1; compressedDepth", header + png(np.full((4, 4), 700, np.uint16)))


@pytest.mark.parametrize("dtype, channels", [("u1", 1), ("u1", 3), ("u1", 4), ("u2", 3)])
def test_compressed_pictures_keep_their_colours(dtype, channels):
    depth = 8 * np.dtype(dtype).itemsize - 8
    bgra = (np.array([10, 100, 200, 255]) << depth).astype(dtype)
    read = to_color(decoded("bgr8; png compressed", png(np.tile(bgra[:channels], (8, 8, 1)))))
    assert read.reshape(64, -1).tolist() == [[200, 100, 10] if channels > 1 else [10]] * 64


def test_only_the_messages_that_the_conversions_need_are_there():
    assert BagTypes().Image.__msgtype__ == IMAGE
    with pytest.raises(AttributeError):
        BagTypes().Nonsense  # noqa: B018
    assert RawMessage("/a", START_NS, b"").stamp_ns == START_NS
