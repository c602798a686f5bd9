"""What is drawn is where the part is, in its colour, and hides behind nearer parts."""

import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.drawing.outlines import DrawingConfig
from binpose_core.drawing.overlays import PALETTE, OverlayDrawer, draw_label, label_size, type_colors
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import from_rotation_translation
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer

PLAIN = DrawingConfig(labels=False)
LINES = DrawingConfig(labels=False, fill_alpha=0.0, halo_alpha=0.0, crease_alpha=0.0)


@pytest.fixture
def parts(objects: tuple[ObjectModel, ...]) -> dict[str, ObjectModel]:
    return {model.id: model for model in objects}


def black(frame: RgbdFrame) -> RgbdFrame:
    return replace(frame, color=np.zeros_like(frame.color))


def poses_of(scene) -> list[PoseEstimate]:
    return [PoseEstimate(name, T, 0.9) for name, T in zip(scene.object_ids, scene.T_cam_obj, strict=True)]


def facing(x_m: float, z_m: float) -> np.ndarray:
    return from_rotation_translation(np.eye(3), np.array([x_m, 0.0, z_m]))


def of_color(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Pixels in the direction of a colour."""
    direction = np.array(color) / np.linalg.norm(color)
    length = np.linalg.norm(picture, axis=-1)
    return (length > 40) & (picture @ direction > 0.97 * length)


def test_outlines_lie_on_the_silhouettes(parts: dict, scenes: Sequence) -> None:
    scene = scenes[0]
    drawn = OverlayDrawer(parts, LINES)(black(scene.frame), poses_of(scene)).any(-1)
    mask = (scene.instance_ids >= 0).astype(np.uint8)
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    near = cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not (drawn & ~near).any()
    assert drawn[border].mean() > 0.9


def test_fill_covers_the_part_in_its_colour_and_nothing_else(parts: dict, scenes: Sequence) -> None:
    scene = scenes[0]
    config = DrawingConfig(labels=False, fill_alpha=0.5, halo_alpha=0.0)
    picture = OverlayDrawer(parts, config)(black(scene.frame), poses_of(scene))
    colors = type_colors(list(parts))
    for number, name in enumerate(scene.object_ids):
        inside = cv2.erode((scene.instance_ids == number).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert of_color(picture, colors[name])[inside].mean() > 0.98
    far = cv2.dilate((scene.instance_ids >= 0).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert not picture[far].any()


def test_a_hidden_part_leaves_no_line_on_the_one_in_front(parts: dict, scenes: Sequence) -> None:
    frame = black(scenes[0].frame)
    front, hidden = PoseEstimate("step", facing(0, 0.25), 0.9), PoseEstimate("rod", facing(0, 0.40), 0.9)
    drawer = OverlayDrawer(parts, PLAIN)
    alone = drawer(frame, [front])
    np.testing.assert_array_equal(drawer(frame, [front, hidden]), alone)
    np.testing.assert_array_equal(drawer(frame, [hidden, front]), alone)


def test_where_two_parts_meet_the_line_has_the_colour_of_the_nearer(parts: dict, scenes: Sequence) -> None:
    frame = black(scenes[0].frame)
    near, far = PoseEstimate("rod", facing(0.0, 0.30), 0.9), PoseEstimate("step", facing(0.0, 0.40), 0.9)
    picture = OverlayDrawer(parts, LINES)(frame, [far, near])
    rendering = Renderer([parts["rod"].mesh]).scene(np.array([0]), near.T_cam_obj[None], frame.camera)
    mask = (rendering.instance_ids >= 0).astype(np.uint8)
    inner_border = (mask > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0)
    assert of_color(picture, type_colors(list(parts))["rod"])[inner_border].mean() > 0.9


def test_creases_show_inner_edges(parts: dict, scenes: Sequence) -> None:
    frame = black(scenes[0].frame)
    pose = PoseEstimate("step", facing(0.0, 0.25) @ np.diag([1.0, -1.0, -1.0, 1.0]), 0.9)
    without = OverlayDrawer(parts, LINES)(frame, [pose]).any(-1)
    with_creases = OverlayDrawer(parts, replace(LINES, crease_alpha=1.0))(frame, [pose]).any(-1)
    added = with_creases & ~without
    # The step is seen from above: its upper block has an outline of 2 x (12 + 20) mm, and a millimetre is a pixel.
    assert 20 < added.sum() < 250


def test_drawing_is_the_same_at_any_pose_of_an_unseen_turn_of_a_round_part(parts: dict, scenes: Sequence) -> None:
    frame, angle = black(scenes[0].frame), np.pi / 24  # one of the cylinder's 48 sections is two of these
    turn = np.array([[np.cos(2 * angle), -np.sin(2 * angle), 0], [np.sin(2 * angle), np.cos(2 * angle), 0], [0, 0, 1]])
    drawer = OverlayDrawer(parts, PLAIN)
    one = drawer(frame, [PoseEstimate("rod", facing(0, 0.3), 0.9)]).astype(int)
    other = drawer(frame, [PoseEstimate("rod", from_rotation_translation(turn, np.array([0, 0, 0.3])), 0.9)]).astype(
        int
    )
    assert np.abs(one - other).mean() < 1.0


def test_no_poses_and_parts_out_of_view_leave_the_picture(parts: dict, scenes: Sequence) -> None:
    frame = scenes[0].frame
    drawer = OverlayDrawer(parts)
    np.testing.assert_array_equal(drawer(frame, []), frame.color)
    np.testing.assert_array_equal(drawer(frame, [PoseEstimate("rod", facing(5.0, 0.3), 0.9)]), frame.color)


def test_the_input_is_not_changed_and_mono_becomes_colour(parts: dict, scenes: Sequence) -> None:
    scene = scenes[0]
    mono = replace(scene.frame, color=scene.frame.gray)
    before = mono.color.copy()
    assert OverlayDrawer(parts)(mono, poses_of(scene)).shape == (*mono.color.shape, 3)
    np.testing.assert_array_equal(mono.color, before)


def test_labels_and_axes_are_drawn_inside_the_picture(parts: dict, scenes: Sequence) -> None:
    scene = scenes[0]
    plain = OverlayDrawer(parts, PLAIN)(scene.frame, poses_of(scene))
    labelled = OverlayDrawer(parts, DrawingConfig(axes=True))(scene.frame, poses_of(scene))
    assert (plain != labelled).any(-1).sum() > 100
    picture = np.zeros((40, 60, 3), np.uint8)
    draw_label(picture, "0.97", (59, 0), (0, 255, 0), 1.0)
    width, height = label_size("0.97", 1.0)
    assert of_color(picture, (0, 255, 0))[:height, -width:].mean() > 0.4
    assert not picture[height + 1 :].any()


def spread(width: int, height: int) -> tuple[RgbdFrame, list[PoseEstimate]]:
    """A picture of this size, and parts all over it."""
    camera = Camera(float(width), float(width), (width - 1) / 2, (height - 1) / 2, width, height)
    places = [(x, y) for x in (-0.12, 0.0, 0.12) for y in (-0.09, 0.0, 0.09)]
    poses = [
        PoseEstimate(name, from_rotation_translation(np.eye(3), np.array([*place, 0.3])), 0.9)
        for name, place in zip(["step", "rod"] * 5, places, strict=False)
    ]
    return RgbdFrame(np.zeros((height, width, 3), np.uint8), None, camera), poses


def test_a_picture_of_five_megapixels_costs_little_more_than_a_small_one(parts: dict) -> None:
    drawer = OverlayDrawer(parts)

    def cost(frame: RgbdFrame, poses: list[PoseEstimate]) -> tuple[float, float]:
        """CPU seconds, the least of three times, and bytes per pixel at the peak."""
        seconds = []
        for _ in range(3):
            start = time.process_time()
            drawer(frame, poses)
            seconds.append(time.process_time() - start)
        tracemalloc.start()
        drawer(frame, poses)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return min(seconds), peak / (frame.camera.width * frame.camera.height)

    small, large = cost(*spread(640, 480)), cost(*spread(2448, 2048))
    assert large[0] < 8 * small[0], "17 times the pixels"
    assert large[1] < 60, "bytes per pixel"


def test_lines_grow_with_the_square_root_of_the_width(parts: dict) -> None:
    def width_px(width: int, height: int) -> float:
        frame, poses = spread(width, height)
        block = [pose for pose in poses if pose.object_id == "step"][:1]
        drawn = OverlayDrawer(parts, LINES)(frame, block).max(-1) / 255
        rendering = Renderer([parts["step"].mesh]).scene(np.array([0]), block[0].T_cam_obj[None], frame.camera)
        borders, _ = cv2.findContours(
            (rendering.instance_ids >= 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        return float(drawn.sum() / sum(cv2.arcLength(border, True) for border in borders))

    assert width_px(640, 480) == pytest.approx(DrawingConfig().outline_px, rel=0.2)
    assert width_px(2560, 1920) == pytest.approx(2 * DrawingConfig().outline_px, rel=0.2)


def test_unknown_objects_are_refused(parts: dict, scenes: Sequence) -> None:
    with pytest.raises(BinposeError, match="cog"):
        OverlayDrawer(parts)(scenes[0].frame, [PoseEstimate("cog", np.eye(4), 0.5)])


@pytest.mark.parametrize(
    "change", [{"supersampling": 0}, {"widest_grid_px": 0}, {"fill_alpha": 1.5}, {"crease_alpha": -0.1}]
)
def test_nonsense_settings_are_refused(change: dict) -> None:
    with pytest.raises(BinposeError):
        DrawingConfig(**change)


def test_neighbouring_types_have_colours_far_apart() -> None:
    assert len(set(PALETTE)) == len(PALETTE)
    distances = [np.linalg.norm(np.subtract(a, b)) for n, a in enumerate(PALETTE) for b in PALETTE[:n]]
    assert min(distances) > 60
