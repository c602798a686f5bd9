"""The check measures a known error, names its cause, and states what a pick tolerates."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import exp_se3, inverse
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_grasping.bin_alignment_config import BinAlignmentConfig
from binpose_grasping.cell import BinConfig, Placement, bin_boxes
from binpose_grasping.cell_check import CellCheck, check_cell, tolerated_error_m
from binpose_grasping.gripper import GripperConfig

BIN = BinConfig(size_x_m=0.3, size_y_m=0.2, depth_m=0.08, wall_m=0.01, placement=Placement(x_m=0.5, yaw_rad=0.3))
CAMERA = Camera(400.0, 400.0, 159.5, 119.5, 320, 240)
TOLERATED_M = 0.003


def camera_at(x_m: float = 0.5, y_m: float = 0.0, z_m: float = 0.45, tilt_rad: float = 0.0) -> np.ndarray:
    """T_base_cam of a camera that looks down."""
    return Placement(x_m=x_m, y_m=y_m, z_m=z_m, roll_rad=np.pi + tilt_rad).matrix


def seen_bin(T_base_cam: np.ndarray, cube: ObjectModel, T_base_cube: np.ndarray) -> RgbdFrame:
    """A depth image with a millimetre of noise of the bin, with a cube in it."""
    boxes = [trimesh.creation.box(2 * half, place) for place, half in zip(*bin_boxes(BIN), strict=True)]
    vertices = np.concatenate([box.vertices for box in boxes])
    faces = np.concatenate([box.faces + 8 * number for number, box in enumerate(boxes)])
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    T_cam_base = inverse(T_base_cam)
    rendering = Renderer([mesh, cube.mesh]).scene(
        np.arange(2), np.stack([T_cam_base, T_cam_base @ T_base_cube]), CAMERA
    )
    noise = np.random.default_rng(0).normal(0, 0.001, rendering.depth_m.shape)
    depth_m = np.where(rendering.depth_m > 0, rendering.depth_m + noise, 0).astype(np.float32)
    return RgbdFrame(np.zeros(depth_m.shape, np.uint8), depth_m, CAMERA)


def checked(
    cube: ObjectModel,
    true: list[np.ndarray],
    told: list[np.ndarray],
    bin_: BinConfig = BIN,
    config: BinAlignmentConfig | None = None,
) -> CellCheck:
    """The check of frames from true camera poses, with what the settings say of camera and bin."""
    T_base_cube = BIN.placement.matrix @ Placement(x_m=0.05, z_m=cube.box_size_m[2] / 2).matrix
    views = [CameraView(seen_bin(T, cube, T_base_cube), stated) for T, stated in zip(true, told, strict=True)]
    poses = [[PoseEstimate("cube", inverse(T) @ T_base_cube, 0.9)] for T in true]
    return check_cell(views, poses, {"cube": cube}, bin_, TOLERATED_M, config)


def test_a_right_cell_is_good(cube: ObjectModel) -> None:
    cameras = [camera_at(), camera_at(y_m=0.06, tilt_rad=0.15)]
    check = checked(cube, cameras, cameras)
    assert check.passed and check.error_m < 0.0006
    assert check.frames[0].bin.determined.all() and check.frames[0].bin.angle_rad < 0.004
    assert "The cell is good." in check.sentences()[-1]


@pytest.mark.parametrize("shift_m", [(0.009, 0.0, 0.0), (0.0, -0.012, 0.0), (0.005, 0.004, 0.011), (-0.02, 0.01, 0.0)])
def test_a_bin_at_another_place_is_measured(cube: ObjectModel, shift_m: tuple[float, float, float]) -> None:
    """The settings place the bin `shift_m` beside the true place, along its own axes."""
    moved = BIN.placement.matrix @ Placement(*shift_m).matrix
    place = replace(BIN.placement, x_m=moved[0, 3], y_m=moved[1, 3], z_m=moved[2, 3])
    check = checked(cube, [camera_at()], [camera_at()], replace(BIN, placement=place))
    np.testing.assert_allclose(check.offset_m, -np.array(shift_m), atol=0.0008)
    assert not check.passed and check.spread_m is None
    assert "Correct the placement of the bin" in check.sentences()[-1]


def test_a_wrong_hand_eye_calibration_is_told_from_a_wrong_bin(cube: ObjectModel) -> None:
    """The error is fixed in the camera's frame, so that it turns with the camera."""
    T_cam_error = exp_se3(np.array([0.008, 0.0, 0.0, 0.0, 0.0, 0.0]))
    cameras = [camera_at(), camera_at() @ exp_se3(np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.pi]))]
    check = checked(cube, cameras, [T @ T_cam_error for T in cameras])
    assert check.spread_m == pytest.approx(0.008, abs=0.001)
    assert not check.passed and "Repeat the hand-eye calibration" in check.sentences()[-1]


def test_a_rotated_camera_is_measured(cube: ObjectModel) -> None:
    turn = exp_se3(np.array([0.0, 0.0, 0.0, np.deg2rad(1.5), 0.0, 0.0]))
    check = checked(cube, [camera_at()], [camera_at() @ turn])
    assert np.degrees(check.frames[0].bin.angle_rad) == pytest.approx(1.5, abs=0.2)
    assert not check.passed


def test_parts_below_the_floor_show_a_camera_that_is_too_low(cube: ObjectModel) -> None:
    low = camera_at(z_m=0.444)
    frame = checked(cube, [camera_at()], [low]).frames[0]
    assert frame.below_m == pytest.approx(0.006, abs=1e-4)


def test_walls_farther_outside_are_no_displacement(cube: ObjectModel) -> None:
    """As in a bin that is wider at the rim than at the floor."""
    narrow = replace(BIN, size_x_m=BIN.size_x_m - 0.008, size_y_m=BIN.size_y_m - 0.008)
    check = checked(cube, [camera_at()], [camera_at()], narrow)
    assert check.passed and check.frames[0].bin.wider_m == pytest.approx(0.004, abs=0.0005)


def test_one_of_two_opposite_walls_is_no_verdict_unless_walls_are_vertical(cube: ObjectModel) -> None:
    """The camera is above a corner, so that it does not see the inner sides of the near walls."""
    camera = BIN.placement.matrix @ Placement(x_m=-0.19, y_m=-0.13, z_m=1.0, roll_rad=np.pi).matrix
    unknown = checked(cube, [camera], [camera])
    assert not unknown.frames[0].bin.determined.all() and not unknown.passed
    assert "show two opposite walls" in unknown.sentences()[-1]
    known = checked(cube, [camera], [camera], config=BinAlignmentConfig(slanting=False))
    assert known.passed and known.frames[0].bin.determined.all()


def test_a_bin_that_is_not_in_view_is_no_verdict(cube: ObjectModel) -> None:
    check = checked(cube, [camera_at()], [camera_at(x_m=1.5)])
    assert not check.passed and "does not see enough of the bin" in check.sentences()[0]


def test_without_a_bin_or_a_frame_there_is_nothing_to_check(cube: ObjectModel) -> None:
    with pytest.raises(BinposeError, match=r"The bin has the size 0 x 0\.2 m; expected its inner size"):
        checked(cube, [camera_at()], [camera_at()], replace(BIN, size_x_m=0.0))
    with pytest.raises(BinposeError, match="No frame was given"):
        check_cell([], [], {}, BIN, TOLERATED_M)


def test_what_a_pick_tolerates_grows_with_the_gap_beside_the_fingers(cube: ObjectModel) -> None:
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    pose, grasp = PoseEstimate("cube", np.eye(4), 1.0), Grasp("cube", T, 0.03, 1.0, T, T, 0)

    def tolerated(clearance_m: float, *grasps: Grasp) -> float:
        gripper = GripperConfig(clearance_m=clearance_m)
        return tolerated_error_m(grasps, [pose], {"cube": cube}, gripper, 0.38)

    narrow, wide = tolerated(0.002, grasp), tolerated(0.005, grasp)
    assert narrow == pytest.approx(0.002, abs=0.0005) and wide == pytest.approx(0.005, abs=0.0005)
    assert tolerated(0.004) == 0.004
