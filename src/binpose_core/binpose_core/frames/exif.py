"""The orientation that a JPEG file states for viewers, in EXIF data."""

import struct

_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_SHORT = 3
ORIENTATIONS = range(1, 9)
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


def orientation(content: bytes) -> int | None:
    """The number from 1 (upright) to 8 in the EXIF data of a JPEG file; None where none is stated.

    Source: EXIF 2.3, section 4.6.4; TIFF 6.0, section 2.
    """
    if not content.startswith(b"\xff\xd8"):
        return None
    start = content.find(_EXIF, 0, 65536) + len(_EXIF)
    order = _BYTE_ORDERS.get(content[start : start + 2]) if start >= len(_EXIF) else None
    if order is None:
        return None
    try:
        return _first_directory(content[start : start + 65536], order)
    except struct.error:
        return None


def _first_directory(tiff: bytes, order: str) -> int | None:
    (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, offset)
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
        if (tag, kind) == (_ORIENTATION, _SHORT):
            return int(value) if value in ORIENTATIONS else None
    return None
