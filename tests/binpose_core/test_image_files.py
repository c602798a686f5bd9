"""What goes into a file comes out of it; what is no image is told."""

import cv2
import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_core.image_files import encode_png, read_color, read_depth_m, read_mask
from binpose_core.listing import Listing


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


@pytest.mark.parametrize("name", ["a.tif", "a.TIF", "a.Tiff", "A.png", "a.JPG", "a.Bmp"])
def test_an_image_is_found_whatever_its_format_and_case(tmp_path, name):
    assert Listing(tmp_path).image("a") is None
    (tmp_path / name).touch()
    assert Listing(tmp_path).image("b", "a") == tmp_path / name


def test_the_exact_name_goes_first(tmp_path):
    for name in ("A.PNG", "a.png"):
        (tmp_path / name).touch()
    assert Listing(tmp_path).image("a") == tmp_path / "a.png" and Listing(tmp_path).find("A.PNG").name == "A.PNG"


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


def test_colour_of_floats_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((5, 5), np.float32))
    with pytest.raises(BinposeError, match="is of type float32; expected 8 or 16 bits per channel"):
        read_color(tmp_path / "a.tif")
