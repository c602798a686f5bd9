from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse
from binpose_core.meshes.mesh import Mesh, sample_faces
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries
from binpose_grasping.config import quick_search
from binpose_grasping.folding import fold
from binpose_grasping.grasp_file import write_grasps
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.search import SearchResult, find_grasps, own_grasps
from binpose_grasping.search_config import SuctionConfig

from .conftest import box_part, make_part

GRIPPER, QUICK = GripperConfig(), quick_search()
BALL = make_part(trimesh.creation.icosphere(3, 0.02), "ball")


def search(part: ObjectModel, gripper: GripperConfig = GRIPPER) -> SearchResult:
    return find_grasps(part, gripper, QUICK, SuctionConfig(enabled=False))


@pytest.fixture(scope="module")
def found(bar: ObjectModel) -> SearchResult:
    return search(bar)


def test_grasps_are_free_of_the_part_hold_it_and_are_ordered(found: SearchResult, bar: ObjectModel) -> None:
    grasps = found.grasps
    assert len(grasps) > 10 and found.reason == ""
    low, high = hand_boxes(GRIPPER, grasps.width_m, bar.diameter_m)
    surface = sample_faces(bar.mesh, 50_000, np.random.default_rng(9))[0]
    assert not count_inside(inverse(grasps.T_obj_hand), low + 1e-6, high - 1e-6, surface).any()
    assert (np.diff(grasps.quality) <= 0).all() and grasps.quality[-1] > 0
    assert (grasps.success >= QUICK.least_success).all()


def test_an_independent_check_finds_no_penetration(found: SearchResult, bar: ObjectModel) -> None:
    solid = trimesh.Trimesh(bar.mesh.vertices, bar.mesh.faces)
    for T, width in zip(found.grasps.T_obj_hand, found.grasps.width_m, strict=True):
        low, high = hand_boxes(GRIPPER, np.array([width]), bar.diameter_m)
        for a, b in zip(low[0], high[0], strict=True):
            box = trimesh.creation.box(b - a, T @ trimesh.transformations.translation_matrix((a + b) / 2))
            assert trimesh.boolean.intersection([solid, box], engine="manifold").volume < 1e-12


def test_the_same_part_has_the_same_grasps_wherever_the_search_runs(found: SearchResult, bar: ObjectModel) -> None:
    again = search(bar).grasps
    np.testing.assert_array_equal(again.T_obj_hand, found.grasps.T_obj_hand)
    assert again.info["part"] == bar.digest and again.info["gripper"]["opening_m"] == GRIPPER.opening_m


def test_symmetric_copies_are_stored_once(rod: ObjectModel) -> None:
    axis = ContinuousSymmetry(np.array([0.0, 0.0, 1.0]), np.zeros(3))
    flip = np.stack([np.eye(4), np.diag([1.0, -1.0, -1.0, 1.0])])
    symmetries = Symmetries(flip, (axis,), np.zeros((0, 4, 4)))
    folded = search(replace(rod, symmetries=symmetries)).grasps
    near_m, near_rad = QUICK.apart * rod.diameter_m, QUICK.apart_rad
    assert len(folded) > 4
    assert len(fold(folded, symmetries, near_m, near_rad, 1000)) == len(folded)
    assert len(fold(search(rod).grasps, symmetries, near_m, near_rad, 1000)) < len(search(rod).grasps)


@pytest.mark.parametrize(
    ("part", "gripper", "reason"),
    [
        (box_part("block", 0.09, 0.09, 0.09), GRIPPER, "no two opposite surfaces between 1 and 74 mm apart"),
        (box_part("foil", 0.0504, 0.05, 0.0005), GripperConfig(opening_m=0.03), "no two opposite surfaces"),
        (BALL, GripperConfig(finger_length_m=0.003, pad_m=0.0), "The hand collides with 'ball' in every grasp"),
    ],
)
def test_why_there_is_none(part: ObjectModel, gripper: GripperConfig, reason: str) -> None:
    found = search(part, gripper)
    assert len(found.grasps) == 0 and reason in found.reason


def test_an_open_mesh_has_none() -> None:
    sheet = trimesh.creation.box((0.04, 0.04, 0.02))
    half = Mesh(np.asarray(sheet.vertices, np.float32), np.asarray(sheet.faces[:6], np.int32))
    assert search(make_part(half, "sheet")).reason == (
        "The mesh of 'sheet' is not closed; expected a solid; export it as one."
    )


def test_own_grasps_are_ordered_and_checked_against_the_gripper(
    tmp_path: Path, found: SearchResult, bar: ObjectModel
) -> None:
    reversed_ = found.grasps.take(np.arange(len(found.grasps))[::-1])
    write_grasps(tmp_path / "own.json", "bar", reversed_)
    own = own_grasps(bar, tmp_path / "own.json", GRIPPER, SuctionConfig())
    np.testing.assert_allclose(own.quality, found.grasps.quality)
    assert own.info["own"] == "own.json"
    with pytest.raises(BinposeError, match=r"expected at most the gripper's opening of 0.01 m"):
        own_grasps(bar, tmp_path / "own.json", GripperConfig(opening_m=0.01), SuctionConfig())
