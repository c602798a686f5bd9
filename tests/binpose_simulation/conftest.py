import contextlib
import resource

import numpy as np
import pytest
import trimesh

from binpose_core.meshes.mesh import Mesh
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.prepared_parts import PreparedPart
from binpose_simulation.scene import SceneConfig, render_view, simulate_pile
from binpose_simulation.viewpoint import ViewpointConfig


def _part(name, mesh):
    mesh = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    diameter = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    axis = np.array([0.0, 0.0, 1.0])
    return PreparedPart(name, mesh, smooth_corner_normals(mesh), (mesh,), diameter, axis)


@pytest.fixture(scope="session")
def parts():
    """Three convex parts, ready to simulate without a decomposition."""
    return {
        "block": _part("block", trimesh.creation.box((0.03, 0.02, 0.012))),
        "rod": _part("rod", trimesh.creation.cylinder(0.004, 0.05, sections=24)),
        "disc": _part("disc", trimesh.creation.cylinder(0.016, 0.01, sections=32)),
    }


@pytest.fixture(scope="session")
def small():
    """A configuration whose views are small and quick."""
    return SceneConfig(
        content=ContentConfig(parts=(5, 9), row=(2, 2)),
        viewpoint=ViewpointConfig(width=320, height=240, part_size_px=(25, 60)),
    )


@pytest.fixture(scope="session")
def pile(parts, small):
    return simulate_pile(np.random.default_rng(4), parts, small)


@pytest.fixture(scope="session")
def view(pile, small):
    return render_view(pile, np.random.default_rng(1), small)


@pytest.fixture
def full_disk():
    """A block in which every file, also a child process's, ends after so many bytes, as on a full disk."""

    @contextlib.contextmanager
    def limited(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
