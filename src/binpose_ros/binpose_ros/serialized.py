"""Reading and writing serialized messages (CDR as ROS 2 uses it, OMG DDSI-RTPS 10.5) without an object per field.

A frame has a hundred hypotheses of 44 numbers each; as ROS' Python objects they take ten times as long.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_ros.stamps import NS_PER_S, Header

START = 4  # CDR's encapsulation header; alignment counts from behind it
LITTLE = b"\0\1\0\0"
ENCODINGS = {0: (">", 8), 1: ("<", 8), 6: (">", 4), 7: ("<", 4)}  # byte order, largest alignment; 6 and 7 are XCDR2


class Writer:
    """Puts fields one behind the other, little endian."""

    def __init__(self) -> None:
        self._data = bytearray(LITTLE)

    def header(self, header: Header) -> None:
        """A std_msgs/Header."""
        self._align(4)
        self._data += struct.pack("<iI", *divmod(header.stamp_ns, NS_PER_S))
        self.text(header.frame_id)

    def count(self, value: int) -> None:
        """The length of a sequence, or any other uint32."""
        self._align(4)
        self._data += struct.pack("<I", value)

    def text(self, value: str) -> None:
        """A string."""
        encoded = value.encode() + b"\0"
        self.count(len(encoded))
        self._data += encoded

    def doubles(self, values: FloatArray) -> None:
        """A row of float64 fields, which is how structures of them lie."""
        self._align(8)
        self._data += values.astype("<f8", copy=False).tobytes()

    def finished(self) -> bytes:
        """The message."""
        return bytes(self._data)

    def _align(self, width: int) -> None:
        self._data += b"\0" * ((START - len(self._data)) % width)


class Reader:
    """Takes fields one behind the other, in either byte order.

    Args:
        data: the message with its encapsulation header.

    Raises:
        BinposeError: by each method, when the data do not hold what is read.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, START
        encoding = ENCODINGS.get(int.from_bytes(data[:2], "big")) if len(data) > START else None
        if encoding is None:
            raise self._damaged("no plain CDR")
        self._order, self._largest = encoding

    def header(self) -> Header:
        """A std_msgs/Header."""
        sec, nanosec = self._unpack("iI", 4)
        return Header(sec * NS_PER_S + nanosec, self.text())

    def count(self) -> int:
        """The length of a sequence, or any other uint32."""
        (value,) = self._unpack("I", 4)
        return int(value)

    def flag(self) -> bool:
        """A bool."""
        return bool(self._unpack("B", 1)[0])

    def text(self) -> str:
        """A string."""
        (encoded,) = self._unpack(f"{self.count()}s", 1)
        try:
            return str(encoded.rstrip(b"\0").decode())
        except UnicodeDecodeError as error:
            raise self._damaged(error) from error

    def doubles(self, number: int) -> npt.NDArray[np.float64]:
        """(number,) float64 fields in a row, read-only."""
        self._align(8)
        try:
            found = np.frombuffer(self._data, f"{self._order}f8", number, self._at)
        except ValueError as error:
            raise self._damaged(error) from error
        self._at += found.nbytes
        return found.astype(np.float64, copy=False)

    def _unpack(self, fields: str, width: int) -> tuple[Any, ...]:
        self._align(width)
        try:
            found = struct.unpack_from(self._order + fields, self._data, self._at)
        except struct.error as error:
            raise self._damaged(error) from error
        self._at += struct.calcsize(self._order + fields)
        return found

    def _align(self, width: int) -> None:
        self._at += (START - self._at) % min(width, self._largest)

    def _damaged(self, what: object) -> BinposeError:
        return BinposeError(
            f"A serialized message of {len(self._data)} bytes ends or is damaged at byte {self._at} ({what}); expected "
            "the type that the topic is subscribed with; check its sender."
        )


def serialized_header(data: bytes) -> Header:
    """The header of a message that begins with one, without reading the rest.

    Raises:
        BinposeError: when the bytes hold no header.
    """
    try:
        return Reader(data).header()
    except BinposeError as error:
        raise BinposeError(
            f"A serialized message of {len(data)} bytes without a header; expected one that begins with "
            "std_msgs/Header; check the type of the topic."
        ) from error
