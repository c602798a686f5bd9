"""Compressed images become the images that were compressed; what is incomplete or unknown is refused."""

import struct
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_ros.compressed import decompress, transport_topic
from binpose_ros.images import to_color, to_depth_m, to_pixels
from binpose_ros.stamps import Header, to_header

HEADER = Header(5_000_000_007, "camera")
PIXELS = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)


def encoded(pixels: Any, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


def message(data: bytes, text: str, types: Any) -> Any:
    return SimpleNamespace(header=to_header(HEADER, types), format=text, data=np.frombuffer(data, np.uint8))


def test_a_picture_keeps_its_colours_its_stamp_and_its_frame(types: Any) -> None:
    image = decompress(message(encoded(PIXELS), "rgb8; png compressed bgr8", types), types)
    np.testing.assert_array_equal(to_color(image), PIXELS[..., ::-1])
    assert (image.header.stamp.sec, image.header.stamp.nanosec, image.header.frame_id) == (5, 7, "camera")


def test_a_jpeg_is_near_to_its_picture(types: Any) -> None:
    smooth = cv2.resize(PIXELS[:3, :4], (64, 48), interpolation=cv2.INTER_CUBIC)
    image = decompress(message(encoded(smooth, ".jpg"), "bgr8; jpeg compressed bgr8", types), types)
    assert np.abs(to_color(image).astype(int) - smooth[..., ::-1]).mean() < 8


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("mono8; png compressed mono8", "mono8"),
        ("bayer_rggb8; png compressed bayer_rggb8", "bayer_rggb8"),
        ("bayer_grbg8; png compressed", "bayer_grbg8"),
        ("bayer_rggb8; jpeg compressed mono8", "mono8"),
        ("png", "mono8"),
    ],
)
def test_one_channel_is_what_the_format_says(types: Any, text: str, encoding: str) -> None:
    assert decompress(message(encoded(PIXELS[..., 0]), text, types), types).encoding == encoding


def test_depth_in_millimetres_keeps_every_value(types: Any) -> None:
    depth_mm = (PIXELS[..., 0].astype(np.uint16) * 7)[:, :16]
    for text, begin in (("16UC1; compressedDepth png", bytes(12)), ("16UC1; png compressed", b"")):
        image = decompress(message(begin + encoded(depth_mm), text, types), types)
        np.testing.assert_array_equal(to_pixels(image), depth_mm)


def test_depth_in_metres_is_inverse_depth(types: Any) -> None:
    a, b = 1e4, 100.0
    depth_m = np.linspace(0.5, 3.0, 48, dtype=np.float32).reshape(6, 8)
    stored = np.rint(a / depth_m + b).astype(np.uint16)
    stored[0, 0] = 0
    data = struct.pack("<iff", 0, a, b) + encoded(stored)
    found = to_depth_m(decompress(message(data, "32FC1; compressedDepth png", types), types))
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found.ravel()[1:], depth_m.ravel()[1:], rtol=2e-4)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_every_incomplete_image_is_refused(types: Any, suffix: str) -> None:
    """OpenCV would fill the rest up with grey."""
    whole = encoded(PIXELS, suffix)
    for length in range(0, len(whole) - 2, max(len(whole) // 40, 1)):
        with pytest.raises(BinposeError, match="cannot be read") as caught:
            decompress(message(whole[:length], f"bgr8; {suffix[1:]} compressed bgr8", types), types)
        assert caught.value.reason is Reason.UNKNOWN_ENCODING


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("h264", b"\0\0\0\1gB"),
        ("16UC1; compressedDepth rvl", bytes(12) + bytes(40)),
        ("16UC1; compressedDepth png", bytes(5)),
        ("32FC1; compressedDepth png", struct.pack("<iff", 0, float("nan"), 1.0) + encoded(np.ones((4, 4), np.uint16))),
        ("16UC1; compressedDepth png", bytes(12) + encoded(PIXELS)),
    ],
)
def test_another_compression_is_refused_by_name(types: Any, text: str, data: bytes) -> None:
    with pytest.raises(BinposeError, match=text.split(";")[0]):
        decompress(message(data, text, types), types)


def test_topics_are_named_as_image_transport_names_them() -> None:
    assert transport_topic("/camera/color", "raw") == "/camera/color"
    assert transport_topic("/camera/color", "compressed") == "/camera/color/compressed"
    assert transport_topic("/camera/depth", "compressedDepth") == "/camera/depth/compressedDepth"
    assert transport_topic("/camera/color/compressed", "compressed") == "/camera/color/compressed"
