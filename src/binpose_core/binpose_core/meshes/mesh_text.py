"""Lines and numbers of text mesh files from any operating system."""

from collections.abc import Sequence

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.polygons import Indices, MalformedMesh


def lines_of(data: bytes) -> list[str]:
    """The lines of a text file with Unix, Windows or old Macintosh line ends.

    Names and comments may be in any encoding: only numbers and keywords are used, which are ASCII.
    """
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = data.decode("utf-16", errors="replace") if wide else data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def numbers_of(lines: Sequence[str], what: str, columns: int) -> FloatArray:
    """The first numbers (N, columns) float64 of each line.

    Raises:
        MalformedMesh: for a line with fewer numbers or other text; the line is quoted.
    """
    rows = [line.split()[:columns] for line in lines]
    try:
        values = np.fromiter((float(token) for row in rows for token in row), np.float64)
    except ValueError:
        values = np.zeros(0)
    if len(values) != columns * len(rows) or any(len(row) != columns for row in rows):
        raise MalformedMesh(
            f"has {next(line.strip() for line in lines if not _are_numbers(line, columns))[:60]!r} in the place of "
            f"{what}; expected numbers with a decimal point, separated by spaces; export it again."
        )
    return values.reshape(-1, columns)


def integers_of(tokens: Sequence[str], what: str) -> Indices:
    """Whole numbers (N,).

    Raises:
        MalformedMesh: for a token that is not a whole number; the token is quoted.
    """
    try:
        return np.fromiter(map(int, tokens), np.int64, len(tokens))
    except (ValueError, OverflowError):
        raise MalformedMesh(
            f"has {next(token for token in tokens if not _is_integer(token))[:60]!r} in the place of {what}; expected "
            "a whole number; export it again."
        ) from None


def _are_numbers(line: str, columns: int) -> bool:
    tokens = line.split()[:columns]
    try:
        return len([float(token) for token in tokens]) == columns
    except ValueError:
        return False


def _is_integer(token: str) -> bool:
    try:
        return abs(int(token)) < 2**63
    except ValueError:
        return False
