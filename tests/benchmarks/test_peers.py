"""The comparison with other methods: they are given a fair chance, and ours is given nothing more than they are."""

from types import ModuleType

import numpy as np
import pytest

from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, inverse
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.rendering.renderer import Renderer
from binpose_detection.network import OUTPUT_STRIDE
from binpose_detection.votes import Votes
from binpose_simulation.parts import make_part

CAMERA = Camera(500.0, 500.0, 159.5, 119.5, 320, 240)
PART = "l_bracket"


@pytest.fixture(scope="module")
def methods(benchmarks: None) -> ModuleType:
    import peer_methods

    return peer_methods


@pytest.fixture(scope="module")
def part() -> ObjectModel:
    return make_object(make_part(PART), PART)


@pytest.fixture(scope="module")
def seen(part: ObjectModel) -> tuple[RgbdFrame, np.ndarray, FloatArray]:
    """A frame without noise, the part's mask in it, and its pose."""
    T_cam_obj = from_rotation_translation(exp_so3(np.array([0.5, 2.2, 0.7])), np.array([0.01, -0.01, 0.3]))
    rendering = Renderer([part.mesh]).scene(np.array([0]), T_cam_obj[None], CAMERA)
    mask = rendering.instance_ids == 0
    depth_m = np.where(mask, rendering.depth_m, np.float32(0.36))
    return RgbdFrame(np.zeros((240, 320), np.uint8), depth_m, CAMERA), mask, T_cam_obj


@pytest.mark.parametrize("name", ["OpencvPpf", "Open3dFpfh"])
def test_a_peer_finds_a_part_seen_well(
    name: str, methods: ModuleType, part: ObjectModel, seen: tuple[RgbdFrame, np.ndarray, FloatArray]
) -> None:
    pytest.importorskip("open3d")
    if name == "OpencvPpf" and not hasattr(methods.cv2, "ppf_match_3d"):
        pytest.skip("OpenCV without its contributed modules")
    frame, mask, T_cam_obj = seen
    (pose,) = getattr(methods, name)({PART: part})(frame, [methods.MaskedPart(PART, mask)])
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert PartErrors(part).error("add_s", pose, T_cam_obj) < 0.02 * part.diameter_m


def test_a_mask_without_depth_has_no_pose(methods: ModuleType, seen: tuple[RgbdFrame, np.ndarray, FloatArray]) -> None:
    pytest.importorskip("open3d")
    frame, mask, _ = seen
    assert methods.observed_cloud(frame, np.zeros_like(mask), 0.002) is None


def test_the_judge_prefers_the_pose_that_explains_the_points(methods: ModuleType, part: ObjectModel) -> None:
    near, far = np.eye(4), np.eye(4)
    far[0, 3] = 0.2 * part.diameter_m
    ranking = methods.SupportRanking(part)
    assert ranking.best(part.points.astype(np.float64), [far, near, far]) is near
    assert ranking.best(part.points.astype(np.float64), []) is None


def test_thinned_points_keep_their_distance_and_leave_no_gap(methods: ModuleType, part: ObjectModel) -> None:
    spacing = 0.08 * part.diameter_m
    kept = methods.even_subset(part.points, part.normals, spacing)
    apart = np.linalg.norm(part.points[:, None] - part.points[kept], axis=-1)
    facing = part.normals @ part.normals[kept].T >= 0.5
    assert (np.where(facing, apart, np.inf).min(1) <= spacing).all()
    between = np.where(facing[kept] & ~np.eye(len(kept), dtype=bool), apart[kept], np.inf)
    assert between.min() > spacing


def test_candidates_are_different_and_the_crowd_comes_first(methods: ModuleType) -> None:
    def turned(angle_rad: float) -> FloatArray:
        return from_rotation_translation(exp_so3(np.array([0.0, 0.0, angle_rad])), np.zeros(3))

    # Two poses agree; a third has more votes than either, but not than both.
    poses = np.array([turned(0.0), turned(0.05), turned(2.0)])
    chosen = methods.distinct(poses, np.array([6, 5, 8]), 0.01, 0.2)
    assert chosen.tolist() in ([0, 2], [1, 2])


def test_millimetres_become_metres_and_the_rotation_stays_rigid(methods: ModuleType) -> None:
    pose = from_rotation_translation(exp_so3(np.array([0.1, 0.2, 0.3])), np.array([0.01, 0.02, 0.3]))
    rough = pose.copy()
    rough[:3, :3] *= 1.001
    rough[:3, 3] *= 1e3
    back = methods._in_metres(rough)
    assert np.allclose(back, pose)
    assert np.allclose(back @ inverse(back), np.eye(4))


def test_the_centre_is_what_the_votes_on_the_mask_say(
    methods: ModuleType, seen: tuple[RgbdFrame, np.ndarray, FloatArray]
) -> None:
    import peers
    from binpose_core.frames.working_view import make_working_view

    frame, mask, _ = seen
    view = make_working_view(frame, 1e-3, 640 * 480)
    h, w = (side // OUTPUT_STRIDE for side in view.depth_m.shape)
    cells = peers._cells(mask, view, (h, w))
    center_px = np.full((h, w, 2), np.nan, np.float32)
    offset_m = np.full((h, w), np.nan, np.float32)
    center_px[cells], offset_m[cells] = (70.0, 50.0), 0.01
    nothing = np.zeros((0, h, w), np.float32)
    votes = Votes(np.zeros((2, h, w), np.float32), center_px, offset_m, np.ones((h, w), np.float32), nothing)
    detection = peers._detection(methods.MaskedPart(PART, mask), view, votes)
    assert np.allclose(detection.center_px, view.to_frame_px(np.array([70.0, 50.0])))
    assert np.array_equal(detection.full_mask(*mask.shape), mask)
    inside = frame.depth_m[mask]
    assert inside.min() < detection.center_depth_m - 0.01 < inside.max()
    # The cells are those of the mask: as many pixels, and in the same place.
    area_px = len(cells[0]) * OUTPUT_STRIDE**2 / np.prod(view.scale)
    assert area_px == pytest.approx(mask.sum(), rel=0.15)
    middle = view.to_frame_px((np.array([cells[1].mean(), cells[0].mean()]) + 0.5) * OUTPUT_STRIDE - 0.5)
    assert np.allclose(middle, np.argwhere(mask).mean(0)[::-1], atol=2.0)
