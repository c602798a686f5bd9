"""Points find back to the surface they came from, also when some of them have no match there."""

import numpy as np
import trimesh

from binpose_core.geometry.transforms import exp_se3, inverse, rotation_angle_rad
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh, surface_samples
from binpose_core.meshes.registration import register


def test_small_motions_are_undone_despite_outliers(rng):
    """A tenth of the points belongs to something else."""
    part = trimesh.creation.box((0.06, 0.04, 0.02))
    mesh = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    points, normals = (a.astype(np.float64) for a in surface_samples(mesh, 400, rng))
    points[:40] += rng.normal(scale=0.02, size=(40, 3))
    starts = exp_se3(
        np.concatenate([rng.normal(scale=0.002, size=(8, 3)), rng.normal(scale=0.08, size=(8, 3))], axis=1)
    )
    found = register(points, normals, DistanceField(mesh, 0.01), starts, np.geomspace(0.004, 0.0003, 15))
    assert np.rad2deg(rotation_angle_rad(found[:, :3, :3], np.eye(3))).max() < 0.3
    assert np.linalg.norm(found[:, :3, 3], axis=1).max() < 1e-4
    assert np.allclose(found @ inverse(found), np.eye(4), atol=1e-9)
