"""Exact means that no camera sees a difference: holes, notches and pins count, tessellation does not."""

import manifold3d
import numpy as np
import pytest

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.symmetries import rotations_about
from binpose_core.parts.symmetry_search import find_symmetries
from binpose_core.parts.symmetry_test import SymmetryConfig, SymmetryTest
from binpose_core.rendering.orbit import rotations_along

Solid = manifold3d.Manifold
MOVED = from_rotation_translation(exp_so3(np.array([0.4, -1.1, 0.7])), np.array([0.03, -0.02, 0.05]))


def cylinder(radius: float, height: float, facets: int = 96) -> Solid:
    return Solid.cylinder(height, radius, radius, facets, True)


def block(*extents: float) -> Solid:
    return Solid.cube(extents, True)


def mesh_of(solid: Solid, placed=MOVED) -> Mesh:
    """The solid, built in millimetres, in metres."""
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties, dtype=float)[:, :3] / 1e3
    return Mesh(transform(placed, vertices).astype(np.float32), np.array(mesh.tri_verts, dtype=np.int32))


def disc_of_six_holes() -> Solid:
    disc = cylinder(25, 5, 128)
    for angle in np.arange(6) * np.pi / 3:
        disc -= cylinder(2, 10).translate([15 * np.cos(angle), 15 * np.sin(angle), 0])
    return disc


PARTS = {
    "through hole": (lambda: block(60, 40, 3) - cylinder(3, 10).translate([20, 0, 0]), 2, 0, 2),
    "small through hole": (lambda: block(60, 40, 3) - cylinder(1, 10).translate([20, 0, 0]), 2, 0, 2),
    "blind hole": (lambda: block(60, 40, 3) - cylinder(3, 2).translate([20, 0, 1.5]), 1, 0, 3),
    "hole in the middle": (lambda: block(60, 40, 3) - cylinder(3, 10), 4, 0, 0),
    "deep narrow hole": (lambda: block(50, 50, 50) - cylinder(2.5, 60).translate([12, 0, 0]), 2, 0, None),
    "slanted hole": (lambda: block(60, 40, 40) - cylinder(2.5, 90).rotate([0, 35, 0]), 2, 0, None),
    "hole in a disc": (lambda: cylinder(25, 5, 128) - cylinder(3, 10).translate([12, 0, 0]), 2, 0, None),
    "notch in a disc": (lambda: cylinder(25, 5, 128) - block(4, 1.5, 10).translate([24, 0, 0]), 2, 0, None),
    "pin on a shaft": (
        lambda: cylinder(15, 40, 101) + cylinder(1.5, 4).rotate([0, 90, 0]).translate([15, 0, 0]), 2, 0, None),
    "six holes in a disc": (disc_of_six_holes, 12, 0, None),
    "97 facets": (lambda: cylinder(15, 40, 97), 2, 1, 0),
    "31 facets": (lambda: cylinder(15, 40, 31), 2, 1, 0),
    "thin tube": (lambda: cylinder(15, 40) - cylinder(14.8, 50), 2, 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_details_count_and_tessellation_does_not(name):
    """The numbers of exact poses, of axes of revolution and, where it is given, of near-symmetries."""
    build, discrete, continuous, near = PARTS[name]
    symmetries = find_symmetries(mesh_of(build()))
    assert (len(symmetries.discrete), len(symmetries.continuous)) == (discrete, continuous)
    assert near is None or len(symmetries.near) == near
    assert name in ("97 facets", "31 facets", "thin tube", "hole in the middle") or len(symmetries.near) > 0


def half_turn(axis: int) -> np.ndarray:
    return rotations_about(np.eye(3)[axis], np.zeros(3), np.array([np.pi]))[0]


def test_the_difference_is_where_the_hole_is():
    """Seen along the hole: its place and that to which the half turn moves it, and nothing else."""
    plate = mesh_of(block(60, 40, 3) - cylinder(3, 10).translate([20, 0, 0]), np.eye(4))
    views = SymmetryTest(plate, SymmetryConfig()).views
    along = int(np.abs(views.directions @ [0, 0, 1]).argmax())
    assert not views.differing(np.array([along]), half_turn(0)).any()
    (differing,) = views.differing(np.array([along]), half_turn(2))
    assert differing.sum() * (1e3 * views.pixel_m) ** 2 == pytest.approx(2 * np.pi * 3**2, rel=0.1)
    assert views.deepest_m(along, half_turn(2), differing)[1]


def test_a_blind_hole_has_its_depth():
    plate = mesh_of(block(60, 40, 6) - cylinder(3, 4).translate([20, 0, 3]), np.eye(4))
    views = SymmetryTest(plate, SymmetryConfig()).views
    above = int((views.directions @ [0, 0, -1]).argmax())
    (differing,) = views.differing(np.array([above]), half_turn(2))
    depth_m, through = views.deepest_m(above, half_turn(2), differing)
    assert depth_m == pytest.approx(0.002, abs=1e-4) and not through


def test_cameras_look_along_their_directions():
    directions = np.random.default_rng(0).normal(size=(20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rotations = rotations_along(directions)
    assert np.allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3)) and np.allclose(np.linalg.det(rotations), 1)
    assert np.allclose(rotations[:, 2], directions)
