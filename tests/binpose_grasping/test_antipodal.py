import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import inverse
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import ContactPairs, balance, center_of_mass, contact_pairs, hands_at
from binpose_grasping.gripper import GripperConfig
from binpose_simulation.parts.library import make_part as library_part

from .conftest import box_part, make_part

GRIPPER, CONE_RAD = GripperConfig(), float(np.arctan(0.4))


def pairs_of(part: ObjectModel, cone_rad: float = CONE_RAD, points: int = 120) -> ContactPairs:
    return contact_pairs(part, GRIPPER, cone_rad, points, 3)


@pytest.fixture(scope="module", params=["bar", "rod", "l_bracket", "stepped_shaft"])
def part(request: pytest.FixtureRequest) -> ObjectModel:
    if request.param in ("bar", "rod"):
        found: ObjectModel = request.getfixturevalue(request.param)
        return found
    return make_part(library_part(request.param), request.param)


def test_contacts_lie_on_the_surface_and_face_each_other_within_the_friction_cone(part: ObjectModel) -> None:
    pairs = pairs_of(part)
    assert len(pairs.margin) > 20
    distance_m, face = (field := DistanceField(part.mesh, 0.001)).nearest(pairs.contacts_m)
    assert distance_m.max() < 1e-6
    inside = DistanceField(part.mesh, 0.001).nearest(pairs.contacts_m)[0] < 1e-9  # not on an edge of two faces
    closing = np.diff(pairs.contacts_m, axis=1)[:, 0] / pairs.width_m[:, None]
    cosines = (field.normals[face] * np.stack([-closing, closing], 1)).sum(-1)
    assert np.quantile(cosines[inside], 0.02) > np.cos(CONE_RAD) - 1e-6
    assert pairs.width_m.max() <= GRIPPER.opening_m - 2 * GRIPPER.clearance_m


def test_rays_are_also_tilted_into_the_cone(bar: ObjectModel) -> None:
    closing = np.diff(pairs_of(bar).contacts_m, axis=1)[:, 0]
    alignment = np.abs(closing).max(axis=1) / np.linalg.norm(closing, axis=1)
    assert (alignment > 1 - 1e-9).any() and (alignment < 0.97).any()


def test_the_hand_holds_the_contacts_between_its_pads(part: ObjectModel) -> None:
    pairs = pairs_of(part)
    T_hand_obj = inverse(hands_at(pairs.contacts_m, GRIPPER, 5, 3))
    assert T_hand_obj.shape == (len(pairs.margin), 5, 3, 4, 4)
    rotated = np.einsum("nrdij,nkj->nrdki", T_hand_obj[..., :3, :3], pairs.contacts_m)
    in_hand = rotated + T_hand_obj[..., None, :3, 3]
    np.testing.assert_allclose(in_hand[..., 0], 0, atol=1e-9)
    expected = pairs.width_m[:, None, None, None] * [-0.5, 0.5]
    np.testing.assert_allclose(in_hand[..., 1], np.broadcast_to(expected, in_hand.shape[:-1]), atol=1e-9)
    assert in_hand[..., 2].min() > -1e-9 and in_hand[..., 2].max() < GRIPPER.pad_m
    np.testing.assert_allclose(np.linalg.det(T_hand_obj[..., :3, :3]), 1)


def test_a_round_part_is_gripped_across_its_axis_or_along_it(rod: ObjectModel) -> None:
    pairs = contact_pairs(rod, GRIPPER, CONE_RAD, 200, 0)
    along = np.abs(np.diff(pairs.contacts_m, axis=1)[:, 0, 2]) / pairs.width_m
    across = along < 1e-3
    assert across.any() and (along[~across] > 0.999).all()
    assert np.abs(pairs.width_m[across] - 0.02).max() < 2e-4


def test_lines_near_the_centre_of_mass_are_balanced() -> None:
    beam = box_part("beam", 0.2, 0.03, 0.03)
    places = np.array([[x, -0.015, 0.0] for x in (0.0, 0.02, 0.05, 0.09)])
    values = balance(beam, places, np.tile([0.0, 1.0, 0.0], (4, 1)))
    assert values[0] == pytest.approx(1) and (np.diff(values) < 0).all()


def test_the_centre_of_mass_is_that_of_the_solid() -> None:
    cone = trimesh.creation.cone(0.02, 0.04, sections=64)
    np.testing.assert_allclose(center_of_mass(make_part(cone, "cone")), cone.center_mass, atol=1e-6)


def test_a_wedge_is_held_by_friction_alone() -> None:
    corners = [
        (x, y, z) for z in (-0.01, 0.01) for x, y in ((-0.02, -0.025), (-0.02, 0.025), (0.02, 0.015), (0.02, -0.015))
    ]
    wedge = make_part(trimesh.convex.convex_hull(np.array(corners)), "wedge")  # its sides meet at 28 degrees

    def across(friction: float) -> int:
        closing = np.abs(np.diff(pairs_of(wedge, float(np.arctan(friction)), 200).contacts_m, axis=1)[:, 0])
        return int((closing.argmax(axis=1) == 1).sum())

    assert across(0.1) == 0
    assert across(0.7) > 0


def test_a_part_wider_than_the_gripper_and_one_without_an_inside_have_none() -> None:
    assert len(pairs_of(box_part("block", 0.06, 0.06, 0.06)).margin) > 0
    assert len(pairs_of(box_part("big block", 0.09, 0.09, 0.09)).margin) == 0
    sheet = trimesh.creation.box((0.04, 0.04, 0.02))
    half = Mesh(np.asarray(sheet.vertices, np.float32), np.asarray(sheet.faces[:6], np.int32))
    assert len(pairs_of(make_part(half, "sheet")).margin) == 0
