"""vision_msgs/Detection2DArray and Detection3DArray, serialized: the two differ in their boxes alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_core.learning.model_store import SHORT
from binpose_ros.serialized import Reader, Writer
from binpose_ros.stamps import Header

NUMBERS = 44  # of an ObjectHypothesisWithPose, as they lie in it
SCORE, POSE, COVARIANCE = 0, slice(1, 8), slice(8, 44)


class Box(IntEnum):
    """How many numbers a box has: center (x, y, theta) and size; center (x, y, z, quaternion xyzw) and size."""

    FLAT = 5
    SOLID = 10


@dataclass(frozen=True, eq=False)
class Entry:
    """A vision_msgs/Detection2D or Detection3D, whose header is that of its array.

    id: of the entry.
    names: (N) class of each of its results.
    numbers: (N, 44) float64: `SCORE`, `POSE` (position, quaternion xyzw) and `COVARIANCE` of each result.
    box: (5,) or (10,) float64, see `Box`.
    """

    id: str
    names: Sequence[str]
    numbers: FloatArray
    box: FloatArray


def write_array(header: Header, entries: Sequence[Entry]) -> bytes:
    """The serialized message."""
    writer = Writer()
    writer.header(header)
    writer.count(len(entries))
    for entry in entries:
        writer.header(header)
        writer.count(len(entry.names))
        for name, numbers in zip(entry.names, entry.numbers, strict=True):
            writer.text(name)
            writer.doubles(numbers)
        writer.doubles(entry.box)
        writer.text(entry.id)
    return writer.finished()


def read_array(data: bytes, box: Box) -> list[Entry]:
    """The entries of a serialized message; each has at least one result.

    Raises:
        BinposeError: for a message that is no such array, or an entry without a result.
    """
    reader = Reader(data)
    reader.header()
    return [_read_entry(reader, box) for _ in range(reader.count())]


def array_length(data: bytes) -> int:
    """The number of entries of a serialized message, without reading them.

    Raises:
        BinposeError: for a message that is no such array.
    """
    reader = Reader(data)
    reader.header()
    return reader.count()


def _read_entry(reader: Reader, box: Box) -> Entry:
    reader.header()
    results = [(reader.text(), reader.doubles(NUMBERS)) for _ in range(reader.count())]
    box_numbers, identifier = reader.doubles(box), reader.text()
    if not results:
        raise BinposeError(f"{identifier!r} has no result; expected at least one class; check its sender.")
    names, numbers = zip(*results, strict=True)
    return Entry(identifier, names, np.stack(numbers), box_numbers)


def instance_id(version: str, index: int) -> str:
    """The id of a result: "<first digits of the model's version>/<index>"."""
    return f"{version[:SHORT]}/{index}"


def split_id(identifier: str) -> tuple[str, int]:
    """The version's first digits and the index of a result.

    Raises:
        BinposeError: when it is no id of ours.
    """
    version, slash, index = identifier.rpartition("/")
    if not slash or not index.isdecimal():
        raise BinposeError(
            f"A detection with id {identifier!r}; expected <version>/<index> as binpose's nodes write them; connect "
            "the topic to one of them."
        )
    return version, int(index)
