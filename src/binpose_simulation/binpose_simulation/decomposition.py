"""Convex pieces of a mesh, by CoACD in a process of its own, kept on disk.

CoACD prints, may take long on odd meshes and cannot be interrupted from Python; a child process with a time limit can.
Source: Wei et al., Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity, SIGGRAPH 2022.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from manifold3d import Manifold

from binpose_core.errors import BinposeError
from binpose_core.meshes import Mesh

_LOG = logging.getLogger(__name__)
_VERSION = "1"  # raise it when the pieces of the same mesh change
_CHILD = """
import sys, numpy as np, coacd
coacd.set_log_level("off")
d = np.load(sys.argv[1])
pieces = coacd.run_coacd(coacd.Mesh(d["vertices"], d["faces"]), threshold=float(d["threshold"]),
    max_convex_hull=int(d["max_pieces"]), decimate=True, max_ch_vertex=int(d["max_vertices"]), seed=0,
    resolution=1000, mcts_nodes=15, mcts_iterations=60)
np.savez(sys.argv[2], *[np.asarray(v, dtype=np.float64) for v, _ in pieces])
"""


def cache_dir() -> Path:
    """Where derived data is kept: $BINPOSE_CACHE, or binpose in the user's cache folder."""
    base = os.environ.get("BINPOSE_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "binpose"


def convex_pieces(
    mesh: Mesh, max_pieces: int = 8, threshold: float = 0.15, max_vertices: int = 40, timeout_s: float = 60.0
) -> list[Mesh]:
    """Convex hulls that together stand for a mesh in collisions.

    Args:
        mesh: any triangle mesh; holes in it are closed first by CoACD.
        max_pieces: at most so many hulls (>= 1).
        threshold: allowed concavity, CoACD's scale (0.01 fine, 1 coarse); below 0.1 it may take minutes.
        max_vertices: of each hull.
        timeout_s: after it the convex hull of the whole mesh is taken, with a warning.

    Returns:
        Watertight convex meshes in the frame of `mesh`. The first call takes seconds, later ones read the cache.

    Raises:
        BinposeError: an empty mesh or max_pieces < 1.
    """
    if max_pieces < 1 or len(mesh.faces) == 0:
        raise BinposeError(
            f"Convex pieces need a mesh with faces and max_pieces >= 1, got {len(mesh.faces)} faces, {max_pieces}."
        )
    key = _key(mesh, max_pieces, threshold, max_vertices)
    path = cache_dir() / "convex_pieces" / f"{key}.npz"
    clouds = _read(path)
    if clouds is None:
        settings = {"threshold": threshold, "max_pieces": max_pieces, "max_vertices": max_vertices}
        clouds = _merged(_decompose(mesh, settings, timeout_s), max_pieces)
        _write(path, clouds)
    return [_hull(points) for points in clouds]


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
    except (OSError, ValueError, EOFError, KeyError):
        return None


def _write(path: Path, clouds: list[np.ndarray]) -> None:
    """Store beside and rename; a cache that cannot be written only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, *clouds)
        os.replace(file.name, path)
    except OSError as error:
        _LOG.warning("Convex pieces could not be kept in %s (%s); set BINPOSE_CACHE to a writable folder.", path, error)


def _decompose(mesh: Mesh, settings: dict[str, float], timeout_s: float) -> list[np.ndarray]:
    """Run CoACD in a child process; fall back to the convex hull when it fails or hangs."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "mesh.npz", Path(folder) / "pieces.npz"
        # CoACD works at any scale; the unit box keeps its tolerances away from millimetre-sized numbers.
        scale = float(np.ptp(mesh.vertices, axis=0).max())
        vertices, faces = _simplified(mesh.vertices / scale, mesh.faces)
        np.savez(source, vertices=vertices.astype(np.float64), faces=faces, **settings)
        command = [sys.executable, "-c", _CHILD, str(source), str(target)]
        # One thread: its OpenMP threads spin, and a loaded machine then takes minutes for seconds' work.
        quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        try:
            subprocess.run(
                command, timeout=timeout_s, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=quiet
            )
        except (subprocess.SubprocessError, OSError) as error:
            _LOG.warning("CoACD failed (%s); the part collides as its convex hull.", error)
        clouds = _read(target)
    if not clouds:
        return [mesh.vertices.astype(np.float64)]
    return [points * scale for points in clouds]


def _simplified(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with at most 600 faces: CoACD's time grows with them and its answer hardly changes."""
    if len(faces) <= 600:
        return vertices, faces
    import fast_simplification

    simple = fast_simplification.simplify(np.float32(vertices), np.int32(faces), target_count=600)
    return simple if len(simple[1]) >= 12 else (vertices, faces)


def _merged(clouds: list[np.ndarray], max_pieces: int) -> list[np.ndarray]:
    """Merge the pair whose common hull adds the least volume until few enough are left.

    CoACD's own limit does not bind when a part has many separate pins.
    """
    hulls = [Manifold.hull_points(points) for points in clouds]
    while len(hulls) > max_pieces:
        pairs = [(i, j) for i in range(len(hulls)) for j in range(i)]
        joined = [Manifold.batch_hull([hulls[i], hulls[j]]) for i, j in pairs]
        added = [hull.volume() - hulls[i].volume() - hulls[j].volume() for hull, (i, j) in zip(joined, pairs, strict=True)]
        best = int(np.argmin(added))
        hulls = [hull for k, hull in enumerate(hulls) if k not in pairs[best]] + [joined[best]]
    return [np.asarray(hull.to_mesh64().vert_properties)[:, :3] for hull in hulls]


def _hull(points: np.ndarray) -> Mesh:
    raw = Manifold.hull_points(points).to_mesh64()
    vertices = np.asarray(raw.vert_properties)[:, :3].astype(np.float32)
    return Mesh(vertices, np.asarray(raw.tri_verts).astype(np.int32))
