"""CAD meshes as they come: read, repaired where that is cheap, put into metres, refused where they make no part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.geometry.diameters import farthest_distance
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.gltf_files import read_gltf, read_step
from binpose_core.meshes.mesh import Mesh
from binpose_core.meshes.mesh_repair import repaired
from binpose_core.meshes.obj_files import read_obj
from binpose_core.meshes.off_files import read_off
from binpose_core.meshes.ply_files import read_ply
from binpose_core.meshes.polygons import MalformedMesh, Polygons, triangulated
from binpose_core.meshes.stl_files import read_stl

METRES: dict[str, float] = {"mm": 1e-3, "m": 1.0, "cm": 1e-2, "in": 0.0254, "inch": 0.0254}
READERS: dict[str, Callable[[bytes], Polygons]] = {
    ".stl": read_stl, ".obj": read_obj, ".ply": read_ply, ".off": read_off,
}  # fmt: skip
GLTF, STEP = (".glb", ".gltf"), (".step", ".stp")
SUFFIXES = (*READERS, *GLTF, *STEP)
CONTENTS = {
    b"ply": "a PLY file (.ply)", b"gltf": "a GLB file (.glb)", b"off\n": "an OFF file (.off)",
    b"iso-10303-21": "a STEP file (.step, .stp)", b"solid ": "a text STL file (.stl)", b"{": "JSON (.gltf)",
    b"<": "XML or a web page", b"pk\3\4": "a ZIP archive, as 3MF files are", b"version https://git-lfs":
    "a pointer of Git LFS, whose file is still to be fetched",
}  # fmt: skip
"""What files begin with: it names the mistake where a file cannot be read as its suffix says."""
LARGEST_BYTES, MOST_FACES = 2**30, 5_000_000
SMALLEST_M, LARGEST_M = 0.005, 1.0
FARTHEST = 2000.0  # from the origin, relative to its size: float32 rounds to 1e-4 of the size there
THINNEST = 1e-5  # of a part, relative to its size: less is no part, but a drawing of one


def load_mesh(path: Path | str, unit: str | None = None, allow_odd_size: bool = False) -> Mesh:
    """The mesh of `read_mesh`."""
    return read_mesh(path, unit, allow_odd_size)[0]


def read_mesh(path: Path | str, unit: str | None = None, allow_odd_size: bool = False) -> tuple[Mesh, str]:
    """Read a part's mesh (STL, OBJ, PLY, OFF, glTF, STEP) in metres, and the unit of its file.

    All pieces of a file are merged, polygons split into triangles, equal vertices welded, faces without area dropped,
    small holes filled and the winding made consistent where that is possible. Whether the result is closed is
    `meshes.is_watertight`'s answer. Colours are taken where all vertices have one; textures and materials are not.

    Args:
        path: of the file; its suffix, in upper or lower case, tells the format.
        unit: of the file, a key of `METRES`; None for glTF and STEP, which state it, or to guess: millimetres, CAD's
            usual unit, or metres, whichever makes a part of 5 mm to 1 m.
        allow_odd_size: accept a part smaller or larger than that; without a unit it is then taken for millimetres.

    Raises:
        BinposeError: for a file that is missing, unreadable or of another format, a mesh that is empty or has vertices
            that are no numbers, or a size that suggests a wrong unit.
    """
    path = Path(path)
    if unit is not None and unit not in METRES:
        raise BinposeError(f"Unit {unit!r}; expected one of {', '.join(METRES)}; declare the one of {path.name}.")
    try:
        surface = _read(path)
        _check_numbers(surface)
        faces = triangulated(surface)
    except MalformedMesh as error:
        raise BadFile(f"The mesh {path} {_held_instead(path) or error}", path) from error
    vertices, faces = repaired(surface.vertices, faces)
    colors = surface.colors
    if colors is not None:
        colors = colors[cKDTree(surface.vertices).query(vertices)[1]]
    size = farthest_distance(vertices) if len(faces) else 0.0  # in the unit of the file
    if len(faces) == 0 or size == 0.0:
        raise BadFile(f"The mesh {path} has no face with an area; expected a surface; export it as triangles.", path)
    if _thickness(vertices) < THINNEST * size:
        raise BadFile(
            f"The mesh {path} is flat: all of its faces lie in one plane; expected a part with a thickness; export the "
            "solid.",
            path,
        )
    if np.abs(vertices).max() > FARTHEST * size:
        raise BadFile(
            f"The mesh {path} lies {np.abs(vertices).max() / size:,.0f} times its size away from its origin; expected "
            f"at most {FARTHEST:,.0f}, as its shape would be rounded; move the part to the origin of its file.",
            path,
        )
    if unit not in (None, "m") and path.suffix.lower() in STEP:
        raise BinposeError(
            f"Unit {unit!r} for {path.name}; expected none, as a STEP file states its own; leave it out."
        )
    if unit is None:
        unit = standard_unit(path) or _guessed_unit(path, size, allow_odd_size)
    _check_size(path, size, unit, allow_odd_size)
    return Mesh((vertices * METRES[unit]).astype(np.float32), np.ascontiguousarray(faces, np.int32), colors), unit


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


def _read(path: Path) -> Polygons:
    """Everything in a file, as its format holds it."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise BadFile(f"No mesh at {path}, which {what}; expected a file; check the path.", path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadFile(
            f"The mesh {path} is of type {path.suffix or 'unknown'}; expected one of {', '.join(SUFFIXES)}; "
            "export it as one.",
            path,
        )
    try:
        size = path.stat().st_size
        if size == 0:
            raise BadFile(f"The mesh file {path} is empty (0 bytes); expected a mesh; export it again.", path)
        if size > LARGEST_BYTES:
            raise BadFile(
                f"The mesh {path} has {size / 2**30:.1f} GiB; expected at most {LARGEST_BYTES / 2**30:.0f} GiB; "
                "reduce its number of faces.",
                path,
            )
        return _read_as(path, path.suffix.lower())
    except OSError as error:
        raise BadFile(
            f"Cannot read the mesh {path}: {error.strerror or error}; check the file and its permissions.", path
        ) from error


def _read_as(path: Path, suffix: str) -> Polygons:
    if suffix in GLTF:
        return read_gltf(path)
    return read_step(path) if suffix in STEP else READERS[suffix](path.read_bytes())


def _held_instead(path: Path) -> str | None:
    """What is wrong with a file that begins like one of another format."""
    with path.open("rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    held = next((what for begin, what in CONTENTS.items() if head.startswith(begin)), None)
    suffix = path.suffix.lower()
    if held is None or suffix in held:
        return None
    return f"holds {held}; expected {suffix[1:].upper()}; rename it, or export it again."


def _check_numbers(surface: Polygons) -> None:
    vertices, corners = surface.vertices, surface.corners
    if len(corners) == 0 or len(vertices) == 0:
        raise MalformedMesh("has no faces, only points or lines or nothing; expected polygons; export a surface.")
    if len(surface.counts) > MOST_FACES:
        raise MalformedMesh(
            f"has {len(surface.counts):,} faces; expected at most {MOST_FACES:,}; reduce them, for example in MeshLab."
        )
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise MalformedMesh(
            f"has a face with vertex number {corners.min() if corners.min() < 0 else corners.max()}, counted from 0; "
            f"expected 0 to {len(vertices) - 1}; export it again."
        )
    broken = int((~np.isfinite(vertices)).any(axis=1).sum())
    if broken:
        raise MalformedMesh(
            f"has {broken} of {len(vertices)} vertices that are NaN or infinite; expected finite numbers; export it "
            "again."
        )


def _thickness(vertices: FloatArray) -> float:
    """The extent of points (V, 3) along the direction in which they spread least."""
    centered = vertices - vertices.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    return float(np.ptp(centered @ directions[:, 0]))


def fitting_units(size: float) -> list[str]:
    """The units, the usual one first, in which something `size` units across is a part of 5 mm to 1 m."""
    return [unit for unit in ("mm", "m", "cm", "in") if SMALLEST_M <= size * METRES[unit] <= LARGEST_M]


def standard_unit(path: Path) -> str | None:
    """Metres for glTF, which has no other, and for STEP, which states its own and is read in metres."""
    return "m" if path.suffix.lower() in (*GLTF, *STEP) else None


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
