"""What goes into a file comes out of it; what is no image is told."""

import zlib

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.listing import Listing
from binpose_core.frames.image_files import encode_png, read_color, read_depth_m, read_mask, read_picture


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


def stored(tmp_path, image, name="a.png"):
    assert cv2.imwrite(str(tmp_path / name), image)
    return tmp_path / name


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3), (7, 9, 4)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_read_like_eight(tmp_path, rng, shape, name):
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    image[0, 0] = 255
    eight = read_picture(stored(tmp_path, image))
    sixteen = read_picture(stored(tmp_path, image.astype(np.uint16) * 257, name))
    twelve = read_picture(stored(tmp_path, image.astype(np.uint16) * 16, name))
    for other in (sixteen, twelve):
        assert np.array_equal(other.color, eight.color) and other.color.dtype == np.uint8
    assert sixteen.notes == eight.notes and "12 bits" in twelve.notes[0]


def test_transparent_pixels_are_remarked(tmp_path, rng):
    image = rng.integers(0, 255, (7, 9, 4), dtype=np.uint8)
    image[..., 3] = 255
    assert not read_picture(stored(tmp_path, image)).notes
    image[2, 3, 3] = 0
    picture = read_picture(stored(tmp_path, image))
    assert "transparent" in picture.notes[0] and np.array_equal(picture.color, image[..., 2::-1])


def test_the_orientation_of_viewers_is_ignored_with_a_remark(tmp_path, rng):
    path = stored(tmp_path, rng.integers(0, 255, (16, 32, 3), dtype=np.uint8), "a.jpg")
    plain = read_picture(path)
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\x00\x00" + tiff
    path.write_bytes(b"\xff\xd8" + exif + path.read_bytes()[2:])
    turned = read_picture(path)
    assert np.array_equal(turned.color, plain.color) and "EXIF" in turned.notes[0] and not plain.notes


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_file_that_was_cut_is_refused(tmp_path, rng, extension, part):
    path = stored(tmp_path, rng.integers(0, 255, (64, 48, 3), dtype=np.uint8), f"a{extension}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(BinposeError, match="is not a readable image; expected a complete PNG"):
        read_color(path)


def test_a_header_that_states_too_many_pixels_is_refused(tmp_path):
    content = bytearray(encode_png(np.zeros((5, 5), np.uint8)))
    header = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + bytes(content[24:29])
    content[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BinposeError, match="is not a readable image"):
        read_color(tmp_path / "a.png")
