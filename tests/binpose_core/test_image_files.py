"""What goes into a file comes out of it; what is no image is told."""

import cv2
import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_core.image_files import encode_png, find_image, read_color, read_depth_m, read_mask


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_colour_round_trip(tmp_path, rng, shape):
    image = rng.integers(0, 255, shape, dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(image))
    assert np.array_equal(read_color(tmp_path / "a.png"), image)


def test_depth_and_mask_round_trip(tmp_path, rng):
    depth = rng.integers(0, 65535, (7, 9), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(encode_png(depth))
    np.testing.assert_allclose(read_depth_m(tmp_path / "a.png", 0.1), depth * 1e-4, rtol=1e-6)
    assert read_depth_m(tmp_path / "a.png", 0.1).dtype == np.float32
    assert np.array_equal(read_mask(tmp_path / "a.png"), depth > 0)


def test_an_image_is_found_whatever_its_format(tmp_path):
    assert find_image(tmp_path, "a") is None
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((2, 2), np.uint8))
    assert find_image(tmp_path, "a") == tmp_path / "a.tif"


@pytest.mark.parametrize("content", [b"", b"not an image", encode_png(np.zeros((50, 50), np.uint8))[:60]])
def test_what_is_no_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_color, read_mask, lambda path: read_depth_m(path, 1.0)):
        with pytest.raises(BinposeError, match=rf"a.png \({len(content)} bytes\) is not a readable image"):
            read(tmp_path / "a.png")


def test_a_missing_file_or_a_folder(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(BinposeError, match=r"Cannot read image .*; check the path"):
            read_color(path)


def test_colour_of_the_wrong_depth(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((5, 5), np.uint16)))
    with pytest.raises(BinposeError, match="is of type uint16; expected 8 bits per channel"):
        read_color(tmp_path / "a.png")
