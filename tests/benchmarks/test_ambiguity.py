"""A block with a nub at one end: its half turn looks the same to whoever cannot see the ends."""

from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import trimesh

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.parts.symmetries import Symmetries
from binpose_core.rendering.renderer import Renderer

CAMERA = Camera(500.0, 500.0, 79.5, 59.5, 160, 120)
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
HAND = 1


@pytest.fixture(scope="module")
def ambiguity(benchmarks: None) -> ModuleType:
    import ambiguity

    return ambiguity


@pytest.fixture(scope="module")
def block() -> ObjectModel:
    solid = trimesh.creation.box((0.06, 0.03, 0.02)).union(
        trimesh.creation.box((0.006, 0.006, 0.006)).apply_translation((0.032, 0, 0))
    )
    part = make_object(Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.int32)), "block", 1)
    return replace(part, symmetries=Symmetries(np.eye(4)[None], (), HALF_TURN[None]))


LEFT, RIGHT = slice(0, 40), slice(120, None)


def seen(block: ObjectModel, *hidden: slice) -> SimpleNamespace:
    """The block from above on a floor, with a hand before some of the image's columns."""
    T = np.eye(4)
    T[2, 3] = 0.3
    drawn = Renderer([block.mesh]).scene(np.zeros(1, np.int64), T[None], CAMERA)
    depth = np.where(drawn.mask, drawn.depth_m, 0.32).astype(np.float32)
    ids = np.where(drawn.mask, 0, -1)
    for columns in hidden:
        depth[:, columns], ids[:, columns] = 0.2, HAND
    frame = RgbdFrame(np.zeros((120, 160), np.uint8), depth, CAMERA)
    return SimpleNamespace(frame=frame, instance_ids=ids, object_ids=("block",), T_cam_obj=T[None])


def test_a_pose_is_told_by_a_detail_seen_or_seen_to_be_missing(ambiguity: ModuleType, block: ObjectModel) -> None:
    tell = ambiguity.Ambiguity({"block": block}, 0.1)
    assert not tell(seen(block))[0]
    assert not tell(seen(block, LEFT))[0], "the nub at the right is seen"
    assert not tell(seen(block, RIGHT))[0], "none is seen at the left, where the wrong pose has it"


def test_nobody_can_tell_what_is_hidden(ambiguity: ModuleType, block: ObjectModel) -> None:
    assert ambiguity.Ambiguity({"block": block}, 0.1)(seen(block, LEFT, RIGHT))[0]


def test_without_a_near_symmetry_nothing_is_ambiguous(ambiguity: ModuleType, block: ObjectModel) -> None:
    plain = replace(block, symmetries=replace(block.symmetries, near=np.zeros((0, 4, 4))))
    assert not ambiguity.Ambiguity({"block": plain}, 0.1)(seen(plain, LEFT, RIGHT))[0]


def test_a_turn_that_counts_as_right_is_no_matter(ambiguity: ModuleType, block: ObjectModel) -> None:
    assert not ambiguity.Ambiguity({"block": block}, 2.0)(seen(block, LEFT, RIGHT))[0]
