"""STL files, binary and text."""

import re

import numpy as np

from binpose_core.meshes.mesh_text import lines_of, numbers_of
from binpose_core.meshes.polygons import MalformedMesh, Polygons, triangle_soup

HEADER = 84
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(data: bytes) -> Polygons:
    """The triangles of a file; its length and its first bytes determine whether it is text or binary.

    Raises:
        MalformedMesh: for a file that is truncated, or has more triangles than its header states.
    """
    announced = int.from_bytes(data[80:HEADER], "little") if len(data) >= HEADER else 0
    if len(data) != HEADER + announced * TRIANGLE.itemsize and _is_text(data):
        return _read_text(data)
    return _read_binary(data, announced)


def _is_text(data: bytes) -> bool:
    """Whether the file is text: it begins with "solid", and unlike a binary file it has no zero bytes."""
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return wide or (head.startswith((b"solid", b"facet")) and b"\0" not in head)


def _read_binary(data: bytes, announced: int) -> Polygons:
    if len(data) < HEADER:
        raise MalformedMesh(
            f"has {len(data)} bytes and does not begin with 'solid'; expected an STL file, whose binary form has at "
            f"least {HEADER}; export it again."
        )
    expected = HEADER + announced * TRIANGLE.itemsize
    if len(data) < expected:
        raise MalformedMesh(
            f"ends after {len(data)} bytes; expected {expected}, as its binary STL header announces {announced} "
            "triangles; copy or export it again."
        )
    rest = data[expected:]
    if rest.strip(b"\0") and len(rest) % TRIANGLE.itemsize == 0:
        raise MalformedMesh(
            f"announces {announced} triangles in its binary STL header, but has bytes for "
            f"{announced + len(rest) // TRIANGLE.itemsize}; expected the same number; export it again."
        )
    triangles = np.frombuffer(data, TRIANGLE, announced, HEADER)  # ignores bytes after the triangles
    faces = np.arange(3 * announced, dtype=np.int64).reshape(-1, 3)
    return triangle_soup(triangles["corners"].reshape(-1, 3).astype(np.float64), faces)


def _read_text(data: bytes) -> Polygons:
    """The loops of a text file; they may have more than three corners."""
    vertices: list[str] = []
    counts: list[int] = []
    begun, closed = 0, True  # vertices before the loop; whether the last solid has ended
    for number, line in enumerate(lines_of(data), start=1):
        word = line.split(None, 1)[0].lower() if line.strip() else ""
        if word == "vertex":
            vertices.append(line)
        elif word == "outer":
            begun = len(vertices)
        elif word == "endloop":
            counts.append(len(vertices) - begun)
            begun = len(vertices)
            if counts[-1] < 3:
                raise MalformedMesh(
                    f"has a loop of {counts[-1]} vertices that ends in line {number}; expected three; export it again."
                )
        elif word in ("solid", "endsolid"):
            closed = word == "endsolid"
    if begun != len(vertices) or sum(counts) != len(vertices) or (counts and not closed):
        raise MalformedMesh("ends in the middle of a solid; expected 'endsolid' at its end; copy or export it again.")
    values = numbers_of([re.sub(r"^\s*\w+", "", line) for line in vertices], "a vertex of three coordinates", 3)
    return Polygons(values, np.arange(len(vertices), dtype=np.int64), np.array(counts, dtype=np.int64))
