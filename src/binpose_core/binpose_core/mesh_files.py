"""CAD meshes as they come: read, repaired where that is cheap, put into metres, refused where they make no part."""

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_core.meshes import Mesh, areas_normals, farthest_distance, is_watertight, signed_volumes, welded

METRES: dict[str, float] = {"mm": 1e-3, "m": 1.0, "cm": 1e-2, "in": 0.0254, "inch": 0.0254}
SUFFIXES = (".stl", ".obj", ".ply", ".off", ".glb", ".gltf")
STL_HEADER, STL_TRIANGLE = 84, 50  # bytes of a binary file
SMALLEST_M, LARGEST_M = 0.005, 1.0
HOLE_SHARE = 1e-3
THINNEST = 1e-5  # of a part, relative to its size: less is no part, but a drawing of one
# What trimesh's readers raise on files that are not what their suffix says.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, OSError, struct.error, NotImplementedError, EOFError)


def load_mesh(path: Path | str, unit: str | None = None, allow_odd_size: bool = False) -> Mesh:
    """The mesh of `read_mesh`."""
    return read_mesh(path, unit, allow_odd_size)[0]


def read_mesh(path: Path | str, unit: str | None = None, allow_odd_size: bool = False) -> tuple[Mesh, str]:
    """Read a part's mesh (STL, OBJ, PLY, OFF, glTF) in metres, and the unit of its file.

    All pieces of a scene are merged, equal vertices welded, faces without area dropped, small holes filled and the
    winding made consistent where that is possible. Whether the result is closed is `meshes.is_watertight`'s answer.
    Colours are taken where all pieces have them at their vertices; textures are not.

    Args:
        path: of the file; its suffix tells the format.
        unit: of the file, a key of `METRES`; None for glTF, which is in metres by its standard, or to guess:
            millimetres, CAD's usual unit, or metres, whichever makes a part of 5 mm to 1 m.
        allow_odd_size: accept a part smaller or larger than that; without a unit it is then taken for millimetres.

    Raises:
        BinposeError: for a file that is missing, unreadable or of another format, a mesh that is empty or has vertices
            that are no numbers, or a size that suggests a wrong unit.
    """
    path = Path(path)
    if unit is not None and unit not in METRES:
        raise BinposeError(f"Unit {unit!r}; expected one of {', '.join(METRES)}; declare the one of {path.name}.")
    read, faces, colors = _read(path)
    _check_numbers(path, read, faces)
    vertices, faces = _repaired(read, faces)
    if colors is not None:
        colors = colors[cKDTree(read).query(vertices)[1]]
    size = farthest_distance(vertices[np.unique(faces)]) if len(faces) else 0.0  # in the unit of the file
    if len(faces) == 0 or size == 0.0:
        raise BinposeError(f"The mesh {path} has no face with an area; expected a surface; export it as triangles.")
    if _thickness(vertices[np.unique(faces)]) < THINNEST * size:
        raise BinposeError(
            f"The mesh {path} is flat: all of its faces lie in one plane; expected a part with a thickness; export the "
            "solid."
        )
    if unit is None:
        unit = standard_unit(path) or _guessed_unit(path, size, allow_odd_size)
    _check_size(path, size, unit, allow_odd_size)
    return Mesh((vertices * METRES[unit]).astype(np.float32), faces.astype(np.int32), colors), unit


def ply_bytes(mesh: Mesh, scale: float = 1.0, comment: str = "unit: metre") -> bytes:
    """A binary PLY file of the mesh, its vertices multiplied by `scale`."""
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {comment}\nelement vertex {len(mesh.vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(mesh.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    return header.encode() + (mesh.vertices * np.float32(scale)).astype("<f4").tobytes() + faces.tobytes()


def _read(path: Path) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.uint8] | None]:
    """Vertices (V, 3) in the file's unit, faces (F, 3) and colours (V, 3), if any, of everything in it."""
    import trimesh

    if path.suffix.lower() not in SUFFIXES:
        raise BinposeError(
            f"The mesh {path} is of type {path.suffix or 'unknown'}; expected one of "
            f"{', '.join(SUFFIXES)}; export it as one."
        )
    if not path.is_file():
        raise BinposeError(f"No mesh at {path}; expected a file; check the path.")
    if path.stat().st_size == 0:
        raise BinposeError(f"The mesh file {path} is empty (0 bytes); expected a mesh; export it again.")
    _check_length(path)
    try:
        loaded: Any = trimesh.load_scene(path, process=False, skip_materials=True)
        merged: Any = [g for g in loaded.dump() if isinstance(g, trimesh.Trimesh)]
        if not merged:
            raise BinposeError(
                f"The mesh {path} has no faces, only points or lines or nothing; expected triangles; export a surface."
            )
        starts = np.cumsum([0, *(len(g.vertices) for g in merged)])[:-1]
        vertices = np.concatenate([np.asarray(g.vertices, dtype=np.float64) for g in merged])
        faces = np.concatenate([np.asarray(g.faces, dtype=np.int64) + s for g, s in zip(merged, starts, strict=True)])
        colored = all(g.visual.kind == "vertex" for g in merged)
        colors = np.concatenate([np.asarray(g.visual.vertex_colors)[:, :3] for g in merged]) if colored else None
    except _DAMAGED as error:
        raise BinposeError(
            f"The mesh {path} cannot be read as {path.suffix[1:].upper()} ({error or type(error).__name__}); expected "
            "a whole, valid file; export it again."
        ) from error
    return vertices, faces, colors


def _check_length(path: Path) -> None:
    """Refuse a binary STL that ends early, which readers take for text without faces."""
    with path.open("rb") as file:
        head = file.read(STL_HEADER)
    if path.suffix.lower() != ".stl" or head.startswith(b"solid") or len(head) < STL_HEADER:
        return
    triangles = int.from_bytes(head[-4:], "little")
    size, expected = path.stat().st_size, STL_HEADER + STL_TRIANGLE * triangles
    if size < expected and b"facet" not in head:
        raise BinposeError(
            f"The mesh {path} ends after {size} bytes; expected {expected}, as it announces {triangles} triangles; "
            "copy or export it again."
        )


def _check_numbers(path: Path, vertices: FloatArray, faces: npt.NDArray[np.int64]) -> None:
    broken = int((~np.isfinite(vertices)).any(axis=1).sum())
    if broken:
        raise BinposeError(
            f"The mesh {path} has {broken} of {len(vertices)} vertices that are NaN or infinite; expected finite "
            "numbers; export it again."
        )
    if len(faces) == 0 or len(vertices) == 0:
        raise BinposeError(f"The mesh {path} has no faces; expected triangles; export a surface.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise BinposeError(
            f"The mesh {path} has faces with corners that do not exist (0..{len(vertices) - 1} do); export it again."
        )


def _thickness(vertices: FloatArray) -> float:
    """The extent of points (V, 3) along the direction in which they spread least."""
    centered = vertices - vertices.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    return float(np.ptp(centered @ directions[:, 0]))


def _repaired(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Weld, drop what has no area, close small holes, turn all faces outwards; each only as far as it is needed."""
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    vertices, faces = welded(vertices, faces, 0.0)
    if not is_watertight(faces):  # exporters round the corners of neighbours differently
        vertices, faces = welded(vertices, faces, 1e-5 * size)
    vertices, faces = _without_slivers(vertices, faces)
    return _closed_and_turned(vertices, faces)


def _without_slivers(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Drop faces without area, unless they close a surface that would be open without them (T-junctions)."""
    areas, _ = areas_normals(vertices, faces)
    kept = faces[areas > 1e-14 * float(np.ptp(vertices, axis=0).max()) ** 2]
    if len(kept) == 0 or not is_watertight(faces) or is_watertight(kept):
        return vertices, kept
    return vertices, faces


def _closed_and_turned(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Small holes filled, and the winding made consistent and outward where that is possible."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False, validate=False)
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
        faces = np.asarray(mesh.faces, dtype=np.int64)
    if not is_watertight(faces):
        faces = np.concatenate([faces, _hole_fillings(vertices, faces)])
    if is_watertight(faces) and signed_volumes(vertices, faces).sum() < 0:
        faces = faces[:, ::-1]
    return vertices, faces


def _hole_fillings(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Triangles (K, 3) that close the holes whose area is at most `HOLE_SHARE` of the part's extent squared."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, index, counts = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    rim = {int(end): int(start) for start, end in edges[counts[index.reshape(-1)] == 1]}  # a filling runs the other way
    largest = HOLE_SHARE * float(np.ptp(vertices, axis=0).max()) ** 2
    fillings: list[npt.NDArray[np.int64]] = []
    while rim:
        start, corner = rim.popitem()
        loop = [start]
        while corner != start and corner in rim:
            loop.append(corner)
            corner = rim.pop(corner)
        fan = np.array([[start, a, b] for a, b in itertools.pairwise(loop[1:])], dtype=np.int64).reshape(-1, 3)
        if corner == start and len(fan) and areas_normals(vertices, fan)[0].sum() <= largest:
            fillings.append(fan)
    return np.concatenate(fillings) if fillings else np.zeros((0, 3), dtype=np.int64)


def fitting_units(size: float) -> list[str]:
    """The units, the usual one first, in which something `size` units across is a part of 5 mm to 1 m."""
    return [unit for unit in ("mm", "m", "cm", "in") if SMALLEST_M <= size * METRES[unit] <= LARGEST_M]


def standard_unit(path: Path) -> str | None:
    """Metres for glTF, which has no other."""
    return "m" if path.suffix.lower() in (".glb", ".gltf") else None


def _guessed_unit(path: Path, size: float, allow_odd_size: bool) -> str:
    likely = ["mm"] if allow_odd_size else [unit for unit in fitting_units(size) if unit in ("mm", "m")]
    if likely:
        return likely[0]
    raise BinposeError(
        f"The mesh {path} measures {size:.4g} units across, which is no part of 5 mm to 1 m in millimetres or metres; "
        f"declare its unit with --unit {{m,mm,cm,in}}, and add --allow-odd-size if it is that small or large."
    )


def _check_size(path: Path, size: float, unit: str, allow_odd_size: bool) -> None:
    if allow_odd_size or SMALLEST_M <= size * METRES[unit] <= LARGEST_M:
        return
    fitting = fitting_units(size)
    advice = f"--unit {fitting[0]} would make it {size * METRES[fitting[0]]:.3g} m, or " if fitting else ""
    raise BinposeError(
        f"The mesh {path} in {unit} is {size * METRES[unit]:.4g} m across; expected a part of 5 mm to 1 m; "
        f"{advice}add --allow-odd-size if it is right."
    )
