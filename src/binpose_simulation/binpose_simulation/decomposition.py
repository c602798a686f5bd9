"""Convex pieces of a mesh, by CoACD in a process of its own, kept on disk.

CoACD prints, may take long on odd meshes and cannot be interrupted from Python; a child process with a time limit can.
Source: Wei et al., Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity, SIGGRAPH 2022.
"""

import errno
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from manifold3d import Manifold

from binpose_core.base.errors import BinposeError, CannotWrite
from binpose_core.base.files import write_atomically
from binpose_core.meshes.mesh import Mesh, signed_volumes

_LOG = logging.getLogger(__name__)
_VERSION = "5"  # raise it when the pieces of the same mesh change
# Shallow search: on rings and pins the default takes minutes for pieces that are no better.
_CHILD = """
import sys, resource, numpy as np, coacd
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), int(sys.argv[3]) + 1))
coacd.set_log_level("off")
d = np.load(sys.argv[1])
pieces = coacd.run_coacd(coacd.Mesh(d["vertices"], d["faces"]), threshold=float(d["threshold"]),
    max_convex_hull=int(d["max_pieces"]), seed=0, resolution=500, mcts_nodes=10, mcts_iterations=30, mcts_max_depth=2)
try:
    np.savez(sys.argv[2], *[np.asarray(v, dtype=np.float64) for v, _ in pieces])
except OSError:
    sys.exit(74)
"""
_NOT_WRITTEN = 74  # EX_IOERR of sysexits.h


def cache_dir() -> Path:
    """Where derived data is kept: $BINPOSE_CACHE, or binpose in the user's cache folder."""
    base = os.environ.get("BINPOSE_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "binpose"


def convex_pieces(mesh: Mesh, max_pieces: int = 8, threshold: float = 0.2, limit_s: float = 30.0) -> list[Mesh]:
    """Convex hulls that together hold every vertex of a mesh and stand for it in collisions.

    Args:
        mesh: any triangle mesh; holes in it are closed first by CoACD.
        max_pieces: at most so many hulls (>= 1).
        threshold: allowed concavity, CoACD's scale (0.01 fine, 1 coarse), at first. It is halved up to twice while
            few and loose pieces result: a bolt is one hull at 0.2, while a gear takes minutes at 0.05.
        limit_s: processor time of CoACD's first run; after it the hull of the whole mesh is taken, with a warning.
            Finer runs, an extra, get a sixth of it and are given up silently.

    Returns:
        Watertight convex meshes in the frame of `mesh`. The first call takes seconds, later ones read the cache.

    Raises:
        BinposeError: an empty mesh or max_pieces < 1.
    """
    if max_pieces < 1 or len(mesh.faces) == 0:
        raise BinposeError(
            f"Convex pieces need a mesh with faces and max_pieces >= 1, got {len(mesh.faces)} faces, {max_pieces}."
        )
    path = cache_dir() / "convex_pieces" / f"{_key(mesh, max_pieces, threshold)}.npz"
    clouds = _read(path)
    if clouds is None:
        clouds = (
            [mesh.vertices.astype(np.float64)] if max_pieces == 1 else _refined(mesh, max_pieces, threshold, limit_s)
        )
        clouds = [np.asarray(hull.to_mesh64().vert_properties)[:, :3] for hull in _covering(clouds, mesh)]
        if max_pieces > 1:  # a single hull takes no time
            _write(path, clouds)
    return [_as_mesh(Manifold.hull_points(points)) for points in clouds]


def _key(mesh: Mesh, *settings: float) -> str:
    digest = hashlib.sha256(f"{_VERSION} {settings}".encode())
    digest.update(np.ascontiguousarray(mesh.vertices, dtype=np.float32).tobytes())
    digest.update(np.ascontiguousarray(mesh.faces, dtype=np.int32).tobytes())
    return digest.hexdigest()[:24]


def _read(path: Path) -> list[np.ndarray] | None:
    """The stored point sets, or None when there are none or the file is damaged."""
    try:
        with np.load(path) as stored:
            return [stored[name] for name in stored.files]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, clouds: list[np.ndarray]) -> None:
    """Store the point sets; a cache that cannot be written only costs time."""
    try:
        with write_atomically(path, durable=False) as temporary:
            np.savez(temporary, *clouds)
    except BinposeError as error:
        _LOG.warning("Convex pieces cannot be kept (%s) Or set BINPOSE_CACHE to a folder with room.", error)


def _refined(mesh: Mesh, max_pieces: int, threshold: float, limit_s: float) -> list[np.ndarray]:
    """Point sets of the pieces at the first threshold that gives many pieces or tight ones."""
    volume = abs(float(signed_volumes(mesh.vertices, mesh.faces).sum()))  # harmless nonsense for an open mesh
    clouds: list[np.ndarray] = []
    for halving in range(3):
        limit = limit_s if halving == 0 else limit_s / 6.0
        found = _decompose(mesh, {"threshold": threshold / 2**halving, "max_pieces": max_pieces}, limit)
        if found is None:
            if halving == 0:
                _LOG.warning("CoACD failed on a mesh of %d faces; it collides as its convex hull.", len(mesh.faces))
            break
        clouds = found
        filled = sum(Manifold.hull_points(points).volume() for points in clouds)
        if 2 * len(clouds) > max_pieces or filled < 1.25 * volume:
            break
    return _merged(clouds or [mesh.vertices.astype(np.float64)], max_pieces)


def _covering(clouds: list[np.ndarray], mesh: Mesh) -> list[Manifold]:
    """Hulls of the point sets, grown until every vertex of the mesh is in one, with few vertices each.

    Each vertex outside goes to the hull it sticks out of least. Without this the simplified surface lets parts sink
    into each other by millimetres.
    """
    slack = 2e-3 * float(np.ptp(mesh.vertices, axis=0).max())
    hulls = [Manifold.hull_points(points) for points in clouds]
    vertices = mesh.vertices.astype(np.float64)
    outside = np.stack([_outside(hull, vertices) for hull in hulls])
    nearest = np.where(outside.min(0) > 0.0, outside.argmin(0), -1)
    grown = [
        Manifold.hull_points(
            np.concatenate([np.asarray(hull.to_mesh64().vert_properties)[:, :3], vertices[nearest == k]])
        )
        for k, hull in enumerate(hulls)
    ]
    return [hull.simplify(slack).hull() for hull in grown]


def _outside(hull: Manifold, points: np.ndarray) -> np.ndarray:
    """How far points (N, 3) lie above the highest face plane of a hull: (N,), negative inside."""
    raw = hull.to_mesh64()
    corners = np.asarray(raw.vert_properties)[:, :3][np.asarray(raw.tri_verts).astype(np.int64)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals, corners = normals[length > 0.0] / length[length > 0.0, None], corners[length > 0.0]
    return (points @ normals.T - (normals * corners[:, 0]).sum(1)).max(1)


def _decompose(mesh: Mesh, settings: dict[str, float], limit_s: float) -> list[np.ndarray] | None:
    """Run CoACD in a child process; None when it fails or takes too long.

    The limit is processor time, so that a busy machine finds the same pieces; waiting ends at ten times as much.

    Raises:
        BinposeError: there is no room for temporary files. A hull in place of the pieces would stay in the cache.
    """
    # CoACD works at any scale; the unit box keeps its tolerances away from millimetre-sized numbers.
    scale = float(np.ptp(mesh.vertices, axis=0).max())
    vertices, faces = _simplified(mesh.vertices / scale, mesh.faces)
    arrays = {"vertices": vertices.astype(np.float64), "faces": faces}
    arrays |= {name: np.asarray(value, np.float64) for name, value in settings.items()}
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "mesh.npz", Path(folder) / "pieces.npz"
            np.savez(source, **arrays)  # type: ignore[arg-type]
            _run_coacd(source, target, limit_s)
            clouds = _read(target)
    except OSError as error:
        raise CannotWrite(
            f"Could not write temporary files in {tempfile.gettempdir()}: {error.strerror or error}; expected room for "
            "the convex pieces of a part there; free some space, or set TMPDIR to another folder.",
            tempfile.gettempdir(),
        ) from error
    return [points * scale for points in clouds] if clouds else None


def _run_coacd(source: Path, target: Path, limit_s: float) -> None:
    """Decompose the mesh in `source` into `target`, which is not there when CoACD fails.

    Raises:
        OSError: the child process found no room for its result.
    """
    command = [sys.executable, "-c", _CHILD, str(source), str(target), str(max(1, round(limit_s)))]
    # One thread: its OpenMP threads spin, and a loaded machine then takes minutes for seconds' work.
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        done = subprocess.run(command, timeout=10 * limit_s, stdin=subprocess.DEVNULL, capture_output=True, env=quiet)
    except subprocess.TimeoutExpired as error:
        _LOG.debug("CoACD: %s", error)
        return
    if done.returncode == _NOT_WRITTEN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    if done.returncode:
        _LOG.debug("CoACD ended with %d: %s", done.returncode, done.stderr[-500:].decode(errors="replace"))


def _simplified(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with at most 500 faces: CoACD's time grows with them and its answer hardly changes."""
    if len(faces) <= 500:
        return vertices, faces
    import fast_simplification

    simple = fast_simplification.simplify(np.float32(vertices), np.int32(faces), target_count=500)
    return simple if len(simple[1]) >= 12 else (vertices, faces)


def _merged(clouds: list[np.ndarray], max_pieces: int) -> list[np.ndarray]:
    """Merge the pair whose common hull adds the least volume until few enough are left.

    CoACD's own limit does not bind when a part has many separate pins.
    """
    hulls = [Manifold.hull_points(points) for points in clouds]
    while len(hulls) > max_pieces:
        pairs = [(i, j) for i in range(len(hulls)) for j in range(i)]
        joined = [Manifold.batch_hull([hulls[i], hulls[j]]) for i, j in pairs]
        apart = [hulls[i].volume() + hulls[j].volume() for i, j in pairs]
        added = [hull.volume() - volume for hull, volume in zip(joined, apart, strict=True)]
        best = int(np.argmin(added))
        hulls = [hull for k, hull in enumerate(hulls) if k not in pairs[best]] + [joined[best]]
    return [np.asarray(hull.to_mesh64().vert_properties)[:, :3] for hull in hulls]


def _as_mesh(hull: Manifold) -> Mesh:
    raw = hull.to_mesh64()
    vertices = np.asarray(raw.vert_properties)[:, :3].astype(np.float32)
    return Mesh(vertices, np.asarray(raw.tri_verts).astype(np.int32))
