"""PLY files, text and binary in either byte order, with arbitrary additional elements and properties."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.meshes.mesh_text import lines_of
from binpose_core.meshes.polygons import MalformedMesh, Polygons

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "int64": "i8", "uint64": "u8", "float32": "f4", "float64": "f8",
}  # fmt: skip
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
CORNERS = ("vertex_indices", "vertex_index")
Values = npt.NDArray[Any]


@dataclass
class _Element:
    """An element of the header: its properties as (name, type, type of the count or None), and its values."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)
    values: dict[str, Values] = field(default_factory=dict)
    counts: dict[str, Values] = field(default_factory=dict)


def read_ply(data: bytes) -> Polygons:
    """The vertices and polygons of a file.

    Raises:
        MalformedMesh: for an invalid header, a length that differs from the header, or triangle strips.
    """
    order, elements, begin = _header(data)
    if order == "=":
        _read_text(elements, data[begin:])
    else:
        _read_binary(elements, data, begin, order)
    by_name = {element.name: element for element in elements}
    if len(by_name) < len(elements):
        raise MalformedMesh("lists an element twice in its header; expected each once; export it again.")
    vertex, face = by_name.get("vertex"), by_name.get("face")
    if "tristrips" in by_name:
        raise MalformedMesh("has triangle strips; expected faces; export it as polygons or triangles.")
    if vertex is None or not {"x", "y", "z"} <= vertex.values.keys():
        raise MalformedMesh("has no vertices with x, y and z; expected a surface; export it again.")
    positions = np.stack([vertex.values[axis].astype(np.float64) for axis in "xyz"], axis=-1)
    name = next((name for name in CORNERS if face is not None and name in face.counts), None)
    if face is None or name is None:
        raise MalformedMesh("has no faces; expected polygons; export a surface.")
    return Polygons(positions, face.values[name].astype(np.int64), face.counts[name].astype(np.int64), _colors(vertex))


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Byte order, elements, and the offset of the content."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise MalformedMesh("does not begin with 'ply' and a header that ends; expected a PLY file; export it again.")
    begin = end + len(b"end_header")
    begin += 2 if data[begin : begin + 2] == b"\r\n" else 1
    order, elements = "", list[_Element]()
    for line in lines_of(data[:end])[1:]:
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2])))
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append((words[4], TYPES[words[3]], TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1].properties.append((words[2], TYPES[words[1]], None))
        except (LookupError, ValueError):
            raise MalformedMesh(f"has {line.strip()[:60]!r} in its PLY header; expected PLY 1.0; export it.") from None
    if not order or any(element.count < 0 for element in elements):
        raise MalformedMesh("has a PLY header without format; expected ascii or binary; export it again.")
    return order, elements, begin


def _read_binary(elements: list[_Element], data: bytes, begin: int, order: str) -> None:
    for element in elements:
        begin = _read_rows(element, data, begin, order)
    if data[begin:].strip(b"\0\r\n\t "):
        raise _wrong_length(f"has {len(data) - begin} bytes behind its last element")


def _read_rows(element: _Element, data: bytes, begin: int, order: str) -> int:
    """Read an element, in one step if all rows have lists of equal length; returns the end offset."""
    row = _first_row(element, data, begin, order)
    end = begin + element.count * row.itemsize
    if end <= len(data):
        rows = np.frombuffer(data, row, element.count, begin)
        counters = {name: rows[f"count {name}"] for name, _, counter in element.properties if counter is not None}
        if all((counts == counts[:1]).all() for counts in counters.values()):
            element.values = {name: rows[name].reshape(-1) for name, _, _ in element.properties}
            element.counts = counters
            return end
    return _scan_rows(element, data, begin, order)


def _first_row(element: _Element, data: bytes, begin: int, order: str) -> np.dtype[Any]:
    """The type of the element's first row, with the lengths of its lists."""
    fields: list[tuple[Any, ...]] = []
    for name, kind, counter in element.properties:
        if counter is None:
            fields.append((name, order + kind))
            continue
        at = begin + np.dtype(fields).itemsize
        length = _integer(data[at : at + np.dtype(counter).itemsize], counter, order) if element.count else 0
        if not 0 <= length <= len(data):
            raise _cut(element)
        fields += [(f"count {name}", order + counter), (name, order + kind, (length,))]
    return np.dtype(fields)


def _scan_rows(element: _Element, data: bytes, begin: int, order: str) -> int:
    """Read an element row by row, because its lists differ in length; returns the end offset."""
    sizes = [(np.dtype(kind).itemsize, counter) for _, kind, counter in element.properties]
    places: list[int] = []
    lengths: list[int] = []
    at = begin
    for _ in range(element.count):
        for size, counter in sizes:
            length = 1
            if counter is not None:
                width = int(counter[1])
                length = _integer(data[at : at + width], counter, order)
                at += width
            places.append(at)
            lengths.append(length)
            at += size * length
            if length < 0 or at > len(data):
                raise _cut(element)
    for k, (name, kind, counter) in enumerate(element.properties):
        counts = np.array(lengths[k :: len(sizes)], np.int64)
        element.values[name] = _gathered(data, np.array(places[k :: len(sizes)], np.int64), counts, order + kind)
        if counter is not None:
            element.counts[name] = counts
    return at


def _gathered(data: bytes, places: Values, counts: Values, kind: str) -> Values:
    """The values of lists that start at offsets (N,) in the data and have `counts` (N,) values each."""
    lengths = counts * np.dtype(kind).itemsize
    offsets = np.arange(lengths.sum()) + np.repeat(places - (np.cumsum(lengths) - lengths), lengths)
    return np.frombuffer(data, np.uint8)[offsets].view(kind)


def _integer(data: bytes, kind: str, order: str) -> int:
    return int.from_bytes(data, "big" if order == ">" else "little", signed=kind.startswith("i"))


def _read_text(elements: list[_Element], data: bytes) -> None:
    lines = iter([line for line in lines_of(data) if line.strip()])
    for element in elements:
        rows = [row.split() for row in itertools.islice(lines, element.count)]
        if len(rows) < element.count:
            raise _cut(element)
        _parse_rows(element, rows)
    if next(lines, None) is not None:
        raise _wrong_length("has lines behind its last element")


def _parse_rows(element: _Element, rows: list[list[str]]) -> None:
    places = [0] * len(rows)
    for name, _, count_type in element.properties:
        try:
            lengths = np.ones(len(rows), np.int64)
            if count_type is not None:
                lengths = np.array([int(row[at]) for row, at in zip(rows, places, strict=True)], np.int64)
                places = [at + 1 for at in places]
                element.counts[name] = lengths
            ends = [at + int(length) for at, length in zip(places, lengths, strict=True)]
            tokens = [token for row, at, end in zip(rows, places, ends, strict=True) for token in row[at:end]]
            if (lengths < 0).any() or len(tokens) != lengths.sum():
                raise IndexError
            element.values[name] = np.fromiter(map(float, tokens), np.float64, len(tokens))
        except (IndexError, ValueError):
            raise MalformedMesh(
                f"has a line of element {element.name!r} without the {name!r} that its header announces; expected a "
                "number in each place; copy or export it again."
            ) from None
        places = ends


def _colors(vertex: _Element) -> npt.NDArray[np.uint8] | None:
    """(V, 3) red, green and blue of the vertices, from bytes or fractions."""
    names = next((n for n in (("red", "green", "blue"), ("r", "g", "b")) if set(n) <= vertex.values.keys()), None)
    if names is None:
        return None
    fractions = {name: kind for name, kind, _ in vertex.properties}[names[0]].startswith("f")
    values = np.stack([vertex.values[name].astype(np.float64) for name in names], axis=-1)
    return np.rint(np.clip(np.nan_to_num(values) * (255 if fractions else 1), 0, 255)).astype(np.uint8)


def _cut(element: _Element) -> MalformedMesh:
    return _wrong_length(f"ends before the last of {element.count} elements {element.name!r}")


def _wrong_length(what: str) -> MalformedMesh:
    return MalformedMesh(f"{what}; expected what its PLY header announces; copy or export it again.")
