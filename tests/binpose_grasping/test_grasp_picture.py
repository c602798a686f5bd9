import numpy as np

from binpose_core.parts.grasps import GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.grasp_picture import BACKGROUND, LABEL_PX, TILE_PX, draw_grasps, hand_mesh
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.search_config import SuctionConfig


def test_hand_meshes_are_closed_and_have_the_size_of_their_boxes() -> None:
    low, high = GripperConfig().boxes(0.02)
    mesh = hand_mesh(low, high)
    assert mesh.watertight and len(mesh.faces) == 36
    np.testing.assert_allclose(mesh.vertices.min(axis=0), low.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(axis=0), high.max(axis=0), atol=1e-6)


def test_a_picture_has_a_tile_for_each_grasp_of_each_tool(bar: ObjectModel) -> None:
    T = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (5, 1, 1))
    ones = np.ones(5)
    tool = np.array([0, 0, 0, 1, 1], np.uint8)
    grasps = GraspSet(T, 0.02 * ones, ones, ones, np.zeros((5, 2, 3)), tool)
    picture = draw_grasps(bar, grasps, GripperConfig(), SuctionConfig(), most=2)
    assert picture.shape == (TILE_PX + LABEL_PX, 4 * TILE_PX, 3) and picture.dtype == np.uint8
    assert (picture != BACKGROUND).any(axis=-1).mean() > 0.05
    nothing = draw_grasps(bar, GraspSet.none(), GripperConfig(), SuctionConfig())
    assert nothing.shape == (TILE_PX + LABEL_PX, TILE_PX, 3)
