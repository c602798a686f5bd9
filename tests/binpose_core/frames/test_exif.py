"""The orientation is found in both byte orders, and nothing else is taken for one."""

import struct

import pytest

from binpose_core.frames.exif import orientation


def jpeg(order, value, tag=0x0112):
    mark = {"<": b"II", ">": b"MM"}[order]
    tiff = mark + struct.pack(f"{order}HIH", 42, 8, 2)
    tiff += struct.pack(f"{order}HHIHH", 0x0100, 3, 1, 9, 0) + struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    payload = b"Exif\x00\x00" + tiff
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + b"\xff\xd9"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_the_orientation_is_read(order, value):
    assert orientation(jpeg(order, value)) == value


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_what_is_cut_has_none(cut):
    assert orientation(jpeg("<", 6)[:cut] + b"\xff\xd9") in (None, 6)


def test_other_data_has_none():
    assert orientation(b"") is None and orientation(b"\x89PNG") is None and orientation(jpeg("<", 6, 0x0113)) is None
