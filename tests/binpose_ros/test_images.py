"""Every encoding against pixels worked out by hand, with padded rows and both byte orders."""

from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_ros.images import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    LAYOUTS,
    from_color,
    from_depth_m,
    from_labels,
    to_color,
    to_depth_m,
    to_picture,
    to_pixels,
)
from binpose_ros.stamps import Header, from_header, to_header

GRADIENT = np.dstack(np.meshgrid(np.linspace(20, 230, 8), np.linspace(10, 240, 6), indexing="ij"))
RGB = np.dstack([GRADIENT, GRADIENT.mean(2)]).astype(np.uint8)  # (8, 6, 3)


def message(
    types: Any, pixels: np.ndarray, encoding: str, header: Header, *, padding: int = 0, big: bool = False
) -> Any:
    """An image as a driver would send it: `padding` bytes of rubbish after each row."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    step = len(rows) // height
    padded = b"".join(rows[i * step : (i + 1) * step] + b"\xab" * padding for i in range(height))
    return types.sent(
        types.Image(
            header=to_header(header, types),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=int(big),
            step=step + padding,
            data=types.octets(padded),
        )
    )


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """The pixels (H, W) or (H, W, n) in which a camera would send a picture (H, W, 3)."""
    alpha = np.full((*rgb.shape[:2], 1), 7, np.uint8)
    if encoding.startswith("bayer_") and encoding.endswith("16"):
        return encoded(rgb, encoding.replace("16", "8")).astype(np.uint16) * 257
    if encoding.startswith("bayer_"):
        pattern = encoding.removeprefix("bayer_")[:4]
        colors = {"r": 0, "g": 1, "b": 2}
        mosaic = np.empty(rgb.shape[:2], np.uint8)
        for place, name in enumerate(pattern):
            row, column = divmod(place, 2)
            mosaic[row::2, column::2] = rgb[row::2, column::2, colors[name]]
        return mosaic
    # BT.601 as cameras use it: luma in 16..235.
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
    yuv = np.rint(rgb @ matrix.T + [16, 128, 128]).astype(np.uint8)
    chroma = yuv[:, ::2, 1:]
    interleaved = np.empty((*rgb.shape[:2], 2), np.uint8)
    first = 0 if encoding in ("yuv422_yuy2", "yuyv") else 1
    interleaved[..., first] = yuv[..., 0]
    interleaved[:, ::2, 1 - first], interleaved[:, 1::2, 1 - first] = chroma[..., 0], chroma[..., 1]
    return {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], 2),
        "mono8": rgb[..., 0],
        "8UC1": rgb[..., 0],
        "rgb16": rgb.astype(np.uint16) * 257,
        "bgr16": rgb[..., ::-1].astype(np.uint16) * 257,
        "mono16": rgb[..., 0].astype(np.uint16) * 257,
        "rgba16": np.concatenate([rgb, alpha], 2).astype(np.uint16) * 257,
        "bgra16": np.concatenate([rgb[..., ::-1], alpha], 2).astype(np.uint16) * 257,
    }.get(encoding, interleaved)


@pytest.mark.parametrize("big", [False, True], ids=["little endian", "big endian"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_a_picture_arrives_in_its_colours(types: Any, header: Header, encoding: str, padding: int, big: bool) -> None:
    # Flat colours survive a Bayer mosaic and shared chroma; a gradient tells rows from columns where nothing is shared.
    exact = not encoding.startswith(("bayer", "yu", "uyvy"))
    rgb = RGB if exact else np.broadcast_to(np.array([200, 90, 30], np.uint8), RGB.shape).copy()
    color = to_color(message(types, encoded(rgb, encoding), encoding, header, padding=padding, big=big))
    assert color.dtype == np.uint8
    expected = rgb[..., 0] if LAYOUTS[encoding].channels == 1 and not encoding.startswith("bayer") else rgb
    assert color.shape == expected.shape
    tolerance = 0 if exact or encoding.startswith("bayer") else 4  # chroma is rounded
    assert np.abs(color.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("big", [False, True], ids=["little endian", "big endian"])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", DEPTH_ENCODINGS)
def test_depth_is_in_metres(types: Any, header: Header, encoding: str, padding: int, big: bool) -> None:
    depth_m = np.linspace(0.3, 1.2, 48, dtype=np.float32).reshape(6, 8)
    pixels = depth_m if encoding == "32FC1" else np.rint(depth_m * 1000).astype(np.uint16)
    received = to_depth_m(message(types, pixels, encoding, header, padding=padding, big=big))
    np.testing.assert_allclose(received, depth_m, atol=0 if encoding == "32FC1" else 5.1e-4)


@pytest.mark.parametrize("shape", [(6, 8, 3), (6, 8)])
def test_a_picture_comes_back_as_it_was_sent(types: Any, header: Header, rng: Any, shape: tuple[int, ...]) -> None:
    color = rng.integers(0, 256, shape, np.uint8)
    received = types.sent(from_color(color, header, types))
    np.testing.assert_array_equal(to_color(received), color)
    assert from_header(received) == header


def test_depth_comes_back_as_it_was_sent(types: Any, header: Header, rng: Any) -> None:
    depth_m = rng.uniform(0.2, 2.0, (6, 8)).astype(np.float32)
    depth_m[2, 3] = 0
    np.testing.assert_array_equal(to_depth_m(types.sent(from_depth_m(depth_m, header, types))), depth_m)
    rounded = to_depth_m(types.sent(from_depth_m(depth_m, header, types, "16UC1")))
    assert np.abs(rounded - depth_m).max() <= 5.1e-4 and rounded[2, 3] == 0


def test_instances_come_back_as_they_were_sent(types: Any, header: Header, rng: Any) -> None:
    labels = rng.integers(0, 60000, (6, 8)).astype(np.uint16)
    received = types.sent(from_labels(labels, header, types))
    assert received.encoding == "16UC1"
    np.testing.assert_array_equal(to_pixels(received), labels)


@pytest.mark.parametrize("encoding", ["64FC1", "rgb7", "", "jpeg"])
def test_an_unknown_encoding_is_refused_by_name(types: Any, header: Header, encoding: str) -> None:
    image = message(types, RGB, encoding, header)
    for convert in (to_color, to_depth_m, to_pixels):
        with pytest.raises(BinposeError, match="expected") as error:
            convert(image)
        assert repr(encoding) in str(error.value)


def test_colour_is_no_depth_and_depth_no_colour(types: Any, header: Header) -> None:
    with pytest.raises(BinposeError, match="32FC1, 16UC1"):
        to_depth_m(message(types, RGB, "rgb8", header))
    with pytest.raises(BinposeError, match="rgb8"):
        to_color(message(types, RGB[..., 0].astype(np.uint16), "16UC1", header))


@pytest.mark.parametrize("field, value", [("height", 9), ("width", 7), ("step", 3), ("height", 0)])
def test_data_that_is_too_short_is_refused(types: Any, header: Header, field: str, value: int) -> None:
    image = message(types, RGB, "rgb8", header)
    object.__setattr__(image, field, value)
    with pytest.raises(BinposeError, match="bytes"):
        to_color(image)


def test_depth_is_sent_in_no_other_encoding(types: Any, header: Header) -> None:
    with pytest.raises(BinposeError, match="16UC1"):
        from_depth_m(np.ones((2, 2), np.float32), header, types, "mono16")


@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "mono16", "bayer_rggb16"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_at_the_lower_end_give_the_same_picture(types: Any, header: Header, encoding: str, bits: int) -> None:
    pixels = encoded(RGB, encoding) // 257
    pixels[0, 0] = 255
    full = to_picture(message(types, (pixels * 257).astype(np.uint16), encoding, header))
    right = to_picture(message(types, (pixels << (bits - 8)).astype(np.uint16), encoding, header))
    np.testing.assert_array_equal(right.color, full.color)
    assert not full.notes and f"read as one of {bits} bits" in right.notes[0]


@pytest.mark.parametrize("encoding", ["yuyv", "uyvy", "yuv422", "yuv422_yuy2"])
def test_shared_chroma_wants_an_even_width(types: Any, header: Header, encoding: str) -> None:
    pixels = np.zeros((6, 7, 2), np.uint8)
    with pytest.raises(BinposeError, match=f"7x6 pixels in {encoding}, .* expected an even width"):
        to_color(message(types, pixels, encoding, header))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 5)])
def test_a_mosaic_may_be_small(types: Any, header: Header, size: tuple[int, int]) -> None:
    assert to_color(message(types, np.zeros(size, np.uint8), "bayer_rggb8", header)).shape == (*size, 3)


@pytest.mark.parametrize("change", [-1, 1, 24])
def test_data_of_another_length_is_refused(types: Any, header: Header, change: int) -> None:
    image = message(types, RGB, "rgb8", header)
    data = bytes(image.data) + bytes(24)
    object.__setattr__(image, "data", np.frombuffer(data[: len(image.data) + change], np.uint8))
    with pytest.raises(BinposeError, match=r"has \d+ bytes in rows of 18; expected 8 rows of at least 18 bytes"):
        to_color(image)
