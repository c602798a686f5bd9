"""Object file format (OFF): a header, one vertex per line, one polygon per line; colours are ignored."""

import re

import numpy as np

from binpose_core.meshes.mesh_text import integers_of, lines_of, numbers_of
from binpose_core.meshes.polygons import MalformedMesh, Polygons

_KEYWORD = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF\b", re.IGNORECASE)


def read_off(data: bytes) -> Polygons:
    """The polygons of a text file in three dimensions, with or without normals and colours.

    Raises:
        MalformedMesh: for a file of another dimension, a binary file, or a number of lines that contradicts the header.
    """
    lines = [line for text in lines_of(data) if (line := text.partition("#")[0].strip())]
    keyword = _KEYWORD.match(lines[0]) if lines else None
    if keyword:
        rest = lines[0][keyword.end() :].strip()
        if keyword[4] or keyword[5] == "n" or rest.upper().startswith("BINARY"):
            raise MalformedMesh(
                f"is an OFF file of another form ({lines[0][:40]!r}); expected text with three coordinates a vertex; "
                "export it again."
            )
        lines = [*([rest] if rest else []), *lines[1:]]
    counts = integers_of(lines[0].split()[:2], "the number of vertices and faces") if lines else np.zeros(0)
    if len(counts) < 2 or (counts < 0).any():
        raise MalformedMesh("does not begin with OFF and the numbers of vertices and faces; export it again.")
    vertex_count, face_count = int(counts[0]), int(counts[1])
    if len(lines) - 1 != vertex_count + face_count:
        raise MalformedMesh(
            f"has {len(lines) - 1} lines of vertices and faces; expected {vertex_count + face_count}, as it announces "
            f"{vertex_count} vertices and {face_count} faces; copy or export it again."
        )
    vertices = numbers_of(lines[1 : vertex_count + 1], "a vertex of three coordinates", 3)
    rows = [line.split() for line in lines[vertex_count + 1 :]]
    corner_counts = integers_of([row[0] for row in rows], "a face's number of corners")
    tokens = [token for row, count in zip(rows, corner_counts, strict=True) for token in row[1 : max(count, 0) + 1]]
    if len(tokens) != corner_counts.sum() or (corner_counts < 0).any():
        raise MalformedMesh("has a face with fewer corners than it announces; copy or export it again.")
    return Polygons(vertices, integers_of(tokens, "the number of a vertex"), corner_counts)
