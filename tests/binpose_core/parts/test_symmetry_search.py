"""Parts whose symmetries are known are found to have exactly these."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse, rotation_angle_rad, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.meshes.mesh_files import load_mesh
from binpose_core.parts.symmetries import Symmetries
from binpose_core.parts.symmetry_search import find_symmetries
from binpose_core.parts.symmetry_test import SymmetryConfig, SymmetryTest
from binpose_simulation.parts import make_part

MOVED = from_rotation_translation(exp_so3(np.array([0.4, -1.1, 0.7])), np.array([0.03, -0.02, 0.05]))


def moved_mesh(part: trimesh.Trimesh) -> Mesh:
    """The part, built in millimetres, in metres and in no particular position."""
    vertices = transform(MOVED, np.asarray(part.vertices) / 1e3)
    return Mesh(vertices.astype(np.float32), np.asarray(part.faces, dtype=np.int32))


def tetrahedron() -> trimesh.Trimesh:
    corners = 20 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def bracket() -> trimesh.Trimesh:
    wall = trimesh.creation.box((5, 20, 40)).apply_translation([27.5, -5, 20])
    return trimesh.creation.box((60, 30, 5)).union(wall)


def symmetric_bracket() -> trimesh.Trimesh:
    wall = trimesh.creation.box((5, 30, 60)).apply_translation([-27.5, 0, 27.5])
    return trimesh.creation.box((60, 30, 5)).union(wall)


def tee() -> trimesh.Trimesh:
    run = trimesh.creation.cylinder(10, 75, sections=32)
    branch = trimesh.creation.cylinder(
        10, 40, sections=32, transform=trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    )
    return run.union(branch.apply_translation([0, 20, 0]))


def gear(teeth: int) -> trimesh.Trimesh:
    angles = np.arange(4 * teeth) * (np.pi / 2 / teeth)
    radii = np.tile([20.0, 20.0, 17.0, 17.0], teeth)
    outline = np.stack([radii * np.cos(angles), radii * np.sin(angles)], -1)
    rim = np.concatenate(
        [np.c_[outline, np.zeros(len(outline))], np.c_[outline, np.full(len(outline), 8.0)], [[0, 0, 0], [0, 0, 8]]]
    )
    n, (a, b) = len(outline), (np.arange(4 * teeth), np.roll(np.arange(4 * teeth), -1))
    bottom, top = np.full(n, 2 * n), np.full(n, 2 * n + 1)
    faces = np.concatenate([np.c_[a, b, b + n], np.c_[a, b + n, a + n], np.c_[bottom, b, a], np.c_[top, a + n, b + n]])
    return trimesh.Trimesh(rim, faces)


FINITE = {
    "cube": (lambda: trimesh.creation.box((40, 40, 40)), 24),
    "box": (lambda: trimesh.creation.box((60, 40, 20)), 4),
    "hexagonal prism": (lambda: trimesh.creation.cylinder(20, 30, sections=6), 12),
    "tetrahedron": (tetrahedron, 12),
    "icosahedron": (lambda: trimesh.creation.icosahedron().apply_scale(20), 60),
    "bracket": (bracket, 1),
    "bracket with equal arms": (symmetric_bracket, 2),
    "tee": (tee, 2),
    "gear of 17": (lambda: gear(17), 34),
}


@pytest.mark.parametrize("name", FINITE)
def test_finite_groups_are_found_and_closed(name):
    """The number of elements is that of the solid, and products and inverses stay among them."""
    build, count = FINITE[name]
    symmetries = find_symmetries(moved_mesh(build()))
    group = symmetries.discrete
    assert len(group) == count and symmetries.continuous == ()
    assert np.allclose(group[0], np.eye(4))
    products = (group[:, None] @ group[None]).reshape(-1, 1, 4, 4)
    assert np.abs(products - group).max(axis=(-1, -2)).min(axis=1).max() < 1e-9
    assert np.abs(inverse(group)[:, None] - group).max(axis=(-1, -2)).min(axis=1).max() < 1e-9


@pytest.mark.parametrize(
    ("part", "flips"),
    [
        (trimesh.creation.cylinder(15, 50, sections=48), True),
        (trimesh.creation.annulus(10, 20, 10, sections=64), True),
        (trimesh.creation.cone(20, 40, sections=48), False),
    ],
    ids=["cylinder", "ring", "cone"],
)
def test_revolutions_are_found_with_their_flip(part, flips):
    """The axis lies on the part's own, and a half turn across it belongs to those that look alike from both ends."""
    symmetries = find_symmetries(moved_mesh(part))
    assert len(symmetries.continuous) == 1 and len(symmetries.discrete) == (2 if flips else 1)
    line, true_axis = symmetries.continuous[0], MOVED[:3, 2]
    assert np.linalg.norm(np.cross(line.axis, true_axis)) < 1e-3
    assert np.linalg.norm(np.cross(line.offset - MOVED[:3, 3], true_axis)) < 1e-4
    assert len(symmetries.near) == 0


def test_a_sphere_turns_about_its_center():
    """All its motions keep the centre in place and spread over the rotations."""
    motions = find_symmetries(moved_mesh(trimesh.creation.icosphere(3, 20))).transforms()
    assert np.abs(transform(motions, MOVED[None, :3, 3]) - MOVED[:3, 3]).max() < 1e-4
    assert 100 < len(motions) <= 512 and np.allclose(motions[0], np.eye(4), atol=1e-9)
    assert rotation_angle_rad(motions[1:, :3, :3], np.eye(3)).min() > np.deg2rad(5)


def test_every_exact_motion_leaves_the_surface_in_place():
    """Exact motions are judged by the same measure as a camera's noise, against a motion that is none."""
    mesh = moved_mesh(tee())
    symmetries, judge = find_symmetries(mesh), SymmetryTest(mesh, SymmetryConfig())
    assert judge.exact(symmetries.transforms())
    tilted = MOVED @ from_rotation_translation(exp_so3(np.array([0, 0.1, 0])), np.zeros(3)) @ inverse(MOVED)
    assert not judge.exact(tilted[None])


def test_an_off_center_shaft_makes_rolls_near_symmetries():
    """A motor's body is round, its shaft fixes the roll: no exact symmetry, rolls in equal steps as near ones."""
    shaft = trimesh.creation.cylinder(3, 20, sections=24).apply_translation([7, 0, 39])
    symmetries = find_symmetries(moved_mesh(trimesh.creation.cylinder(18, 60, sections=48).union(shaft)))
    assert len(symmetries.discrete) == 1 and symmetries.continuous == ()
    axis = MOVED[:3, 2]
    rolls = [motion[:3, :3] for motion in symmetries.near if motion[:3, :3] @ axis @ axis > 0.99]
    assert {30, 60, 90, 120, 150, 180} <= {round(float(np.rad2deg(rotation_angle_rad(r, np.eye(3))))) for r in rolls}


def test_a_part_alike_front_to_back_has_a_near_flip():
    """A disc with a boss on one side keeps its axis; the flip is near, not exact, and not listed for every roll."""
    boss = trimesh.creation.cylinder(5, 3, sections=32).apply_translation([0, 0, 8.5])
    symmetries = find_symmetries(moved_mesh(trimesh.creation.cylinder(20, 14, sections=64).union(boss)))
    assert len(symmetries.continuous) == 1 and len(symmetries.discrete) == 1
    assert len(symmetries.near) == 1
    axis = symmetries.continuous[0].axis
    assert symmetries.near[0][:3, :3] @ axis @ axis < -0.99


def test_a_near_flip_is_as_exact_as_the_part_allows():
    """A nipple on one side of a housing must not tilt the flip of all the rest, from which poses are refined."""
    symmetries = find_symmetries(make_part("pillow_block"))
    (flip,) = symmetries.near
    np.testing.assert_allclose(flip[:3, :3], np.diag([-1.0, -1.0, 1.0]), atol=2e-3)
    np.testing.assert_allclose(flip[:3, 3], 0, atol=1e-4)


def test_hidden_bodies_do_not_break_a_symmetry():
    """What is enclosed, such as a loose block in a can, no camera sees."""
    shell = trimesh.creation.cylinder(15, 50, sections=48)
    block = trimesh.creation.box((6, 4, 10)).apply_translation([5, 1, 7])
    symmetries = find_symmetries(moved_mesh(trimesh.util.concatenate([shell, block])))
    assert len(symmetries.continuous) == 1 and len(symmetries.discrete) == 2


def test_slender_parts_are_measured_by_their_thickness():
    """A hexagonal bar is six-fold although its corners stand out by less than 1 % of its length."""
    symmetries = find_symmetries(moved_mesh(trimesh.creation.cylinder(5, 100, sections=6)))
    assert len(symmetries.discrete) == 12 and symmetries.continuous == ()


@pytest.mark.parametrize(
    ("file", "discrete", "continuous", "near"),
    [
        ("wrs_bins/models/obj_000001.ply", 1, 0, True),
        ("wrs_bins/models/obj_000002.ply", 1, 1, True),
        ("wrs_bins/models/obj_000003.ply", 1, 1, False),
        ("omron_pipes/models/obj_000002.ply", 2, 0, False),
    ],
    ids=["gearmotor", "pulley", "pin", "pipe"],
)
def test_real_parts(shared_data, file, discrete, continuous, near):
    """A motor with near rolls, a pulley that is round but for a retaining ring's ends, a pin, a two-fold pipe."""
    symmetries = find_symmetries(load_mesh(shared_data / file, "mm"))
    assert (len(symmetries.discrete), len(symmetries.continuous)) == (discrete, continuous)
    assert (len(symmetries.near) > 0) == near


def test_nonsense_settings_are_refused():
    """Tolerances out of order or far too large."""
    with pytest.raises(BinposeError, match="expected 0 < exact <= near"):
        SymmetryConfig(exact_tolerance=0.05, near_tolerance=0.02)
    with pytest.raises(BinposeError, match="near_share"):
        SymmetryConfig(near_share=0.2)


def test_the_search_is_repeatable():
    """The same mesh gives the same answer to the last digit."""
    mesh = moved_mesh(tee())
    first, second = find_symmetries(mesh), find_symmetries(mesh)
    assert isinstance(first, Symmetries)
    assert np.array_equal(first.discrete, second.discrete) and np.array_equal(first.near, second.near)
