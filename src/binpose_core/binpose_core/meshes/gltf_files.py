"""glTF files, read by trimesh, and STEP files, which cascadio (the extra `step`) converts to glTF."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.meshes.polygons import MalformedMesh, Polygons, triangle_soup

COMPRESSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")
TRIANGLES, STRIP, FAN = 4, 5, 6  # modes of a primitive
FACET_MM, FACET_RAD = 0.02, 0.2
"""Linear and angular tolerance of the facets of a STEP file's curved faces, far below a camera's noise."""


def read_gltf(path: Path) -> Polygons:
    """All meshes of the scene in a GLB or glTF file, transformed to the scene, in metres.

    Raises:
        MalformedMesh: for a file that trimesh cannot read, or that is compressed.
    """
    data = path.read_bytes()
    _check_supported(data)
    return _scene(data, path.suffix[1:].lower(), path.parent)


def read_step(path: Path) -> Polygons:
    """The surface of all solids in a STEP file, in metres: the file states its own unit.

    Raises:
        MalformedMesh: for a file without solids, or if the extra `step` is not installed.
    """
    try:
        import cascadio
    except ImportError:
        raise MalformedMesh(
            "is a STEP file, which needs an extra library; install it with `pip install 'binpose[step]'`, or export "
            "the part as STL."
        ) from None
    data = path.read_bytes()
    if not data.lstrip().startswith(b"ISO-10303-21"):
        raise MalformedMesh("does not begin with 'ISO-10303-21'; expected a STEP file; export it again.")
    glb = _quietly(lambda: cascadio.load(data, "step", tol_linear=FACET_MM, tol_angular=FACET_RAD))
    if not glb:
        raise MalformedMesh("has no solid that can be read as STEP; expected AP203, AP214 or AP242; export it again.")
    return _scene(glb, "glb", path.parent)


def _check_supported(data: bytes) -> None:
    header = _header(data)
    used = [name for name in header.get("extensionsUsed", ()) if name in COMPRESSIONS]
    if used:
        raise MalformedMesh(f"is compressed ({used[0]}); expected plain glTF; export it without compression.")
    pieces = [piece for mesh in header.get("meshes", ()) for piece in mesh.get("primitives", ())]
    if any(piece.get("mode", TRIANGLES) == FAN for piece in pieces):
        raise MalformedMesh("has triangle fans; expected triangles or strips; export it as triangles.")


def _header(data: bytes) -> dict[str, Any]:
    """The JSON of a GLB or glTF file."""
    text = data[20 : 20 + int.from_bytes(data[12:16], "little")] if data.startswith(b"glTF") else data
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or "asset" not in header:
        raise MalformedMesh("is no glTF file of version 2; expected its JSON header; export it again.")
    return header


def _scene(data: bytes, kind: str, folder: Path) -> Polygons:
    import trimesh

    try:
        resolver = trimesh.resolvers.FilePathResolver(str(folder))
        scene: Any = trimesh.load_scene(
            trimesh.util.wrap_as_stream(data), file_type=kind, resolver=resolver, process=False, skip_materials=True
        )
        placed = [_piece(scene, node) for node in scene.graph.nodes_geometry]
    except Exception as error:  # trimesh raises different errors for different damage and installed libraries
        raise MalformedMesh(
            f"cannot be read as glTF ({error or type(error).__name__}); expected a whole, valid file; export it again."
        ) from error
    pieces = [piece for piece in placed if piece is not None]
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    colors = [piece.colors for piece in pieces if piece.colors is not None]
    return triangle_soup(
        np.concatenate([np.zeros((0, 3)), *(piece.vertices for piece in pieces)]),
        np.concatenate(
            [np.zeros(0, np.int64), *(piece.corners + start for piece, start in zip(pieces, starts, strict=False))]
        ).reshape(-1, 3),
        np.concatenate(colors) if colors and len(colors) == len(pieces) else None,
    )


def _piece(scene: Any, node: str) -> Polygons | None:
    """The triangles of one node in the scene; the winding of a mirrored node is reversed."""
    T_scene_piece, name = scene.graph[node]
    piece = scene.geometry[name]
    if not hasattr(piece, "faces"):
        return None  # points or lines
    vertices = np.asarray(piece.vertices, np.float64) @ T_scene_piece[:3, :3].T + T_scene_piece[:3, 3]
    faces = np.asarray(piece.faces, np.int64)
    if np.linalg.det(T_scene_piece[:3, :3]) < 0:
        faces = faces[:, ::-1]
    colors = np.asarray(piece.visual.vertex_colors)[:, :3] if piece.visual.kind == "vertex" else None
    return triangle_soup(vertices, faces, colors)


def _quietly(call: Callable[[], bytes]) -> bytes:
    """The call's result; what its C++ code prints is suppressed."""
    nothing, kept = os.open(os.devnull, os.O_WRONLY), {stream: os.dup(stream) for stream in (1, 2)}
    try:
        for stream in kept:
            os.dup2(nothing, stream)
        return call()
    finally:
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nothing)
