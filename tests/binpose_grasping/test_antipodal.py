import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh, sample_faces
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import AntipodalConfig, PartGrasps, antipodal_grasps, center_of_mass
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.inside import count_inside
from binpose_simulation.parts.library import make_part as library_part

from .conftest import box_part, make_part

GRIPPER, CONFIG = GripperConfig(), AntipodalConfig(points=120)


def grasps_of(part: ObjectModel, config: AntipodalConfig = CONFIG) -> PartGrasps:
    return antipodal_grasps(part, GRIPPER, config)


@pytest.fixture(scope="module", params=["bar", "rod", "l_bracket", "stepped_shaft"])
def part(request: pytest.FixtureRequest) -> ObjectModel:
    if request.param in ("bar", "rod"):
        found: ObjectModel = request.getfixturevalue(request.param)
        return found
    return make_part(library_part(request.param), request.param)


def test_contacts_lie_on_the_surface_and_face_each_other_within_the_friction_cone(part: ObjectModel) -> None:
    grasps = grasps_of(part)
    assert len(grasps) > 20
    distance_m, face = (field := DistanceField(part.mesh, 0.001)).nearest(grasps.contacts_m)
    assert distance_m.max() < 1e-6
    closing = np.diff(grasps.contacts_m, axis=1)[:, 0] / grasps.width_m[:, None]
    cosines = (field.normals[face] * np.stack([-closing, closing], 1)).sum(-1)
    assert cosines.min() > np.cos(CONFIG.cone_rad) - 1e-6


def test_the_hand_holds_the_contacts_between_its_pads(part: ObjectModel) -> None:
    grasps = grasps_of(part)
    np.testing.assert_allclose(grasps.width_m, np.linalg.norm(np.diff(grasps.contacts_m, axis=1)[:, 0], axis=1))
    assert grasps.width_m.max() <= GRIPPER.opening_m - 2 * GRIPPER.clearance_m
    T_hand_obj = inverse(grasps.T_obj_hand)
    in_hand = np.einsum("nij,nkj->nki", T_hand_obj[:, :3, :3], grasps.contacts_m) + T_hand_obj[:, None, :3, 3]
    np.testing.assert_allclose(in_hand[..., 0], 0, atol=1e-9)
    np.testing.assert_allclose(in_hand[..., 1], grasps.width_m[:, None] * [-0.5, 0.5], atol=1e-9)
    assert in_hand[..., 2].min() > -1e-9 and in_hand[..., 2].max() < GRIPPER.pad_m
    np.testing.assert_allclose(np.linalg.det(grasps.T_obj_hand[:, :3, :3]), 1)


def test_the_hand_does_not_run_into_the_part_that_it_takes(part: ObjectModel) -> None:
    grasps = grasps_of(part)
    low, high = hand_boxes(GRIPPER, grasps.width_m, part.diameter_m)
    surface = sample_faces(part.mesh, 20000, np.random.default_rng(9))[0]
    allowed_m = 0.001  # the part's own points are about so far from each other
    assert not count_inside(inverse(grasps.T_obj_hand), low + allowed_m, high - allowed_m, surface).any()


def test_a_box_is_gripped_by_opposite_sides_that_are_near_enough() -> None:
    sides_m = np.array([0.1, 0.05, 0.03])
    grasps = grasps_of(box_part("brick", *sides_m))
    closing = np.abs(np.diff(grasps.contacts_m, axis=1)[:, 0])
    axis = closing.argmax(axis=1)
    np.testing.assert_allclose(closing.max(axis=1), sides_m[axis], atol=1e-6)
    assert set(axis.tolist()) == {1, 2}


def test_a_round_part_is_gripped_across_its_axis_or_along_it(rod: ObjectModel) -> None:
    grasps = grasps_of(rod)
    along = np.abs(np.diff(grasps.contacts_m, axis=1)[:, 0, 2]) / grasps.width_m
    across = along < 1e-3
    assert across.any() and (along[~across] > 0.999).all()
    assert np.abs(grasps.width_m[across] - 0.02).max() < 2e-4
    assert np.abs(grasps.width_m[~across] - 0.06).max(initial=0) < 1e-6


def test_the_nearer_to_the_centre_of_mass_the_better() -> None:
    beam = box_part("beam", 0.2, 0.03, 0.03)
    grasps = grasps_of(beam)
    distance_m = np.linalg.norm(grasps.contacts_m.mean(axis=1) - center_of_mass(beam), axis=1)
    across = np.abs(np.diff(grasps.contacts_m, axis=1)[:, 0, 1]) > 0.02
    places = grasps.contacts_m[across].mean(axis=1)
    offset_m = np.hypot(places[:, 0], places[:, 2])  # of the closing axis
    assert (np.diff(grasps.score) <= 0).all() and grasps.score.min() >= 0 and grasps.score.max() <= 1
    assert (np.diff(offset_m) >= -1e-9).all() and np.ptp(offset_m) > 0.05
    assert distance_m[0] < distance_m[-1]


def test_the_centre_of_mass_is_that_of_the_solid() -> None:
    cone = trimesh.creation.cone(0.02, 0.04, sections=64)
    np.testing.assert_allclose(center_of_mass(make_part(cone, "cone")), cone.center_mass, atol=1e-6)


def test_a_wedge_is_held_by_friction_alone() -> None:
    corners = [
        (x, y, z) for z in (-0.01, 0.01) for x, y in ((-0.02, -0.025), (-0.02, 0.025), (0.02, 0.015), (0.02, -0.015))
    ]
    wedge = make_part(trimesh.convex.convex_hull(np.array(corners)), "wedge")  # its sides meet at 28 degrees

    def across(friction: float) -> int:
        grasps = grasps_of(wedge, AntipodalConfig(points=200, friction=friction))
        closing = np.abs(np.diff(grasps.contacts_m, axis=1)[:, 0])
        return int((closing.argmax(axis=1) == 1).sum())

    assert across(0.3) == 0
    assert across(0.7) > 0


def test_a_part_wider_than_the_gripper_and_one_without_an_inside_have_none() -> None:
    assert len(grasps_of(box_part("block", 0.06, 0.06, 0.06))) > 0
    assert len(grasps_of(box_part("big block", 0.09, 0.09, 0.09))) == 0
    sheet = trimesh.creation.box((0.04, 0.04, 0.02))
    half = Mesh(np.asarray(sheet.vertices, np.float32), np.asarray(sheet.faces[:6], np.int32))
    assert len(grasps_of(make_part(half, "sheet"))) == 0


def test_a_part_is_searched_once_and_the_same_part_has_the_same_grasps() -> None:
    first, same = (box_part("once", 0.03, 0.02, 0.04) for _ in range(2))
    assert grasps_of(first) is grasps_of(same)
    other = grasps_of(box_part("once", 0.03, 0.02, 0.041))
    assert len(other) and other is not grasps_of(first)
    fewer = grasps_of(first, AntipodalConfig(points=60))
    assert 0 < len(fewer) < len(grasps_of(first))


@pytest.mark.parametrize("field", ["points", "rotations", "depths", "friction"])
def test_nonsense_is_refused(field: str) -> None:
    with pytest.raises(BinposeError, match=f"AntipodalConfig.{field} is 0; expected"):
        AntipodalConfig(**{field: 0})
