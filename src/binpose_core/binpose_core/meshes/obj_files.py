"""Wavefront OBJ files: vertices and polygons of all objects and groups; texture, normals and materials are ignored."""

import re

import numpy as np
import numpy.typing as npt

from binpose_core.meshes.mesh_text import integers_of, lines_of, numbers_of
from binpose_core.meshes.polygons import Indices, MalformedMesh, Polygons

_ATTRIBUTES = re.compile(r"/\S*")  # /texture/normal of a corner
FREE_FORM = ("surf", "curv", "curv2")


def read_obj(data: bytes) -> Polygons:
    """All polygons of a file as one surface.

    Raises:
        MalformedMesh: for a corner with an invalid vertex number, and for free-form surfaces.
    """
    vertices: list[str] = []
    faces: list[str] = []
    known: list[int] = []  # number of vertices before each face: negative numbers count back from there
    for line in _whole_lines(lines_of(data)):
        keyword, _, rest = line.strip().partition("#")[0].replace("\t", " ").partition(" ")
        if keyword == "v":
            vertices.append(rest)
        elif keyword in ("f", "fo"):
            faces.append(rest)
            known.append(len(vertices))
        elif keyword in FREE_FORM:
            raise MalformedMesh(f"has free-form surfaces ({keyword!r}); expected polygons; export it as a mesh.")
    positions = numbers_of(vertices, "a vertex of three coordinates", 3)
    tokens = [_ATTRIBUTES.sub("", face).split() for face in faces]
    counts = np.array([len(face) for face in tokens], dtype=np.int64)
    numbers = integers_of([token for face in tokens for token in face], "the number of a vertex")
    corners = _from_zero(numbers, np.repeat(np.array(known, dtype=np.int64), counts), len(positions))
    return Polygons(positions, corners, counts, _colors(vertices))


def _whole_lines(lines: list[str]) -> list[str]:
    """The lines; those that end in a backslash are joined with the next."""
    if not any(line.endswith("\\") for line in lines):
        return lines
    return "\n".join(lines).replace("\\\n", " ").split("\n")


def _from_zero(numbers: Indices, known: Indices, count: int) -> Indices:
    """Zero-based indices of corners from the numbers in the file: from 1 on, or negative, relative to `known`."""
    corners = np.where(numbers > 0, numbers - 1, known + numbers)
    wrong = np.flatnonzero((numbers == 0) | (corners < 0) | (corners >= count))
    if len(wrong):
        raise MalformedMesh(
            f"has a face with vertex number {numbers[wrong[0]]}; expected 1 to {count}, or a negative number that "
            "counts back over the vertices before the face; export it again."
        )
    return corners


def _colors(vertices: list[str]) -> npt.NDArray[np.uint8] | None:
    """(V, 3) the colours that some programs write after the coordinates, if all vertices have one."""
    if not vertices or len(vertices[0].split()) != 6:
        return None
    try:
        values = numbers_of(vertices, "a vertex with a colour", 6)[:, 3:]
    except MalformedMesh:
        return None
    largest = 1.0 if values.max() <= 1 else 255.0
    return np.rint(255 * np.clip(np.nan_to_num(values) / largest, 0, 1)).astype(np.uint8)
