"""Convex decomposition of a mesh by CoACD in a child process, cached on disk.

CoACD prints, may be slow on irregular meshes and cannot be interrupted from Python; a child process can be.
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

from binpose_core.base.cache import cache_dir
from binpose_core.base.errors import BinposeError, CannotWrite
from binpose_core.base.files import write_atomically
from binpose_core.meshes.mesh import Mesh, signed_volumes

_LOG = logging.getLogger(__name__)
_VERSION = "5"  # increase it when the pieces of the same mesh change
# Shallow search: on rings and pins the default takes minutes and gives no better pieces.
_CHILD = """
import sys, resource, numpy as np, coacd
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), int(sys.argv[3]) + 1))
coacd.set_log_level("off")
d = np.load(sys.argv[1])
pieces = coacd.run_coacd(coacd.Mesh(d["vertices"], d["faces"]), threshold=float(d["threshold"]),
    max_convex_hull=int(d["max_pieces"]), preprocess_mode="off" if d["exact"] else "auto", seed=0, resolution=500,
    mcts_nodes=10, mcts_iterations=30, mcts_max_depth=2)
try:
    np.savez(sys.argv[2], *[np.asarray(v, dtype=np.float64) for v, _ in pieces])
except OSError:
    sys.exit(74)
"""
_NOT_WRITTEN = 74  # EX_IOERR of sysexits.h


def convex_pieces(
    mesh: Mesh, max_pieces: int = 8, threshold: float = 0.2, limit_s: float = 30.0, exact: bool = False
) -> list[Mesh]:
    """Convex hulls that cover every vertex of a mesh and replace it in collisions.

    Args:
        mesh: any triangle mesh; CoACD closes its holes first.
        max_pieces: largest number of hulls (>= 1).
        threshold: allowed concavity on CoACD's scale (0.01 fine, 1 coarse). It is halved up to twice when the result
            has few and loose pieces: a bolt is one hull at 0.2, while a gear takes minutes at 0.05.
        limit_s: processor time of CoACD's first run; if it is exceeded, the hull of the whole mesh is used, with a
            warning. Each optional finer run has a sixth of it and is skipped silently when it takes longer.
        exact: decompose a watertight mesh as it is. Otherwise it is simplified, and remeshed where that leaves gaps,
            which is faster but makes thin walls up to some millimetres thicker.

    Returns:
        Watertight convex meshes in the frame of `mesh`. The first call takes seconds, later ones read the cache.

    Raises:
        BinposeError: for an empty mesh or max_pieces < 1.
    """
    if max_pieces < 1 or len(mesh.faces) == 0:
        raise BinposeError(
            f"Convex pieces need a mesh with faces and max_pieces >= 1, got {len(mesh.faces)} faces, {max_pieces}."
        )
    path = cache_dir() / "convex_pieces" / f"{_key(mesh, max_pieces, threshold, *[1] * exact)}.npz"
    clouds = _read(path)
    if clouds is None:
        clouds = (
            [mesh.vertices.astype(np.float64)]
            if max_pieces == 1
            else _refined(mesh, max_pieces, threshold, limit_s, exact)
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
    """The stored point sets, or None when the file is missing or damaged."""
    try:
        with np.load(path) as stored:
            return [stored[name] for name in stored.files]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, clouds: list[np.ndarray]) -> None:
    """Store the point sets; if the cache cannot be written, they are computed again next time."""
    try:
        with write_atomically(path, durable=False) as temporary:
            np.savez(temporary, *clouds)
    except BinposeError as error:
        _LOG.warning("Convex pieces cannot be kept (%s) Or set BINPOSE_CACHE to a folder with room.", error)


def _refined(mesh: Mesh, max_pieces: int, threshold: float, limit_s: float, exact: bool) -> list[np.ndarray]:
    """Point sets of the pieces at the first threshold that gives many or tight pieces."""
    volume = abs(float(signed_volumes(mesh.vertices, mesh.faces).sum()))  # meaningless but harmless for an open mesh
    clouds: list[np.ndarray] = []
    for halving in range(3):
        limit = limit_s if halving == 0 else limit_s / 6.0
        settings = {"threshold": threshold / 2**halving, "max_pieces": max_pieces, "exact": exact}
        found = _decompose(mesh, settings, limit)
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
    """Hulls of the point sets, grown until they contain every vertex of the mesh, with few vertices each.

    Each vertex outside is added to the nearest hull. Otherwise parts would sink into each other by millimetres, because
    the surface is simplified.
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

    The limit is processor time, so that a busy machine finds the same pieces; the wall-clock limit is ten times that.

    Raises:
        BinposeError: if there is no room for temporary files. Falling back to the hull would store it in the cache.
    """
    # CoACD works at any scale; the unit box avoids problems of its tolerances with millimetre-sized numbers.
    scale = float(np.ptp(mesh.vertices, axis=0).max())
    vertices, faces = mesh.vertices / scale, mesh.faces
    if not settings["exact"]:
        vertices, faces = _simplified(vertices, faces)
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
    """Decompose the mesh in `source` into `target`, which does not exist if CoACD fails.

    Raises:
        OSError: if the child process has no room for its result.
    """
    command = [sys.executable, "-c", _CHILD, str(source), str(target), str(max(1, round(limit_s)))]
    # One thread: CoACD's OpenMP threads spin and take minutes instead of seconds on a loaded machine.
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
    """The mesh with at most 500 faces: CoACD's time grows with them, and its result hardly changes."""
    if len(faces) <= 500:
        return vertices, faces
    import fast_simplification

    simple = fast_simplification.simplify(np.float32(vertices), np.int32(faces), target_count=500)
    return simple if len(simple[1]) >= 12 else (vertices, faces)


def _merged(clouds: list[np.ndarray], max_pieces: int) -> list[np.ndarray]:
    """Merge the pair whose common hull adds the least volume until at most max_pieces are left.

    CoACD ignores its own limit when a part has many separate pins.
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
