"""Small parts, their symmetries stated instead of searched for."""

import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.meshes.mesh import Mesh, surface_samples
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries


def part(mesh, id, bop_id, discrete=(), continuous=()):
    """An ObjectModel of a trimesh in metres."""
    mesh = Mesh(np.asarray(mesh.vertices, dtype=np.float32), np.asarray(mesh.faces, dtype=np.int32))
    points, normals = surface_samples(mesh, 1500, np.random.default_rng(0))
    return ObjectModel(
        id=id,
        bop_id=bop_id,
        mesh=mesh,
        lods=(),
        diameter_m=mesh.diameter_m,
        center_m=mesh.box_center_m,
        symmetries=Symmetries(np.stack([np.eye(4), *discrete]), tuple(continuous), np.zeros((0, 4, 4))),
        points=points,
        normals=normals,
    )


@pytest.fixture(scope="session")
def bracket() -> ObjectModel:
    """An L of 60 x 40 x 20 mm without any symmetry."""
    legs = [trimesh.creation.box((0.06, 0.01, 0.02)), trimesh.creation.box((0.01, 0.04, 0.012))]
    legs[1].apply_translation((-0.025, 0.025, 0.004))
    return part(trimesh.util.concatenate(legs), "bracket", 1)


@pytest.fixture(scope="session")
def bar() -> ObjectModel:
    """A bar of 80 x 20 x 10 mm, of whose symmetries the half turn about z is stated, about an axis 2 mm aside."""
    mesh = trimesh.creation.box((0.08, 0.02, 0.01))
    mesh.apply_translation((0.002, 0, 0))
    half_turn = from_rotation_translation(exp_so3(np.array([0, 0, np.pi])), np.array([0.004, 0, 0]))
    return part(mesh, "bar", 3, discrete=[half_turn])


@pytest.fixture(scope="session")
def disc() -> ObjectModel:
    """A disc of 40 mm and 10 mm height, round about z."""
    mesh = trimesh.creation.cylinder(radius=0.02, height=0.01, sections=360)
    return part(mesh, "disc", 7, continuous=[ContinuousSymmetry(np.array([0, 0, 1.0]), np.zeros(3))])
