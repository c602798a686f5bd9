"""Silhouettes agree with plain renderings, however they are batched."""

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, random_rotation, transform
from binpose_core.rendering import silhouettes as module
from binpose_core.rendering.renderer import Renderer
from binpose_core.rendering.silhouettes import Silhouette, silhouettes

CAMERA = Camera(120.0, 121.0, 47.3, 30.1, 96, 64)


@pytest.mark.parametrize("batch_px", [1, 3000, 4_000_000])
def test_they_are_the_renderings_of_the_parts_alone(bar, disc, rng, monkeypatch, batch_px):
    monkeypatch.setattr(module, "BATCH_PX", batch_px)
    renderer = Renderer([bar.mesh, disc.mesh])
    ids = rng.integers(0, 2, 12)
    poses = from_rotation_translation(
        random_rotation(rng, (12,)), rng.uniform([-0.2, -0.1, 0.2], [0.2, 0.1, 0.6], (12, 3))
    )
    alone = renderer.crops(ids, poses, CAMERA.intrinsics, CAMERA.height, CAMERA.width).depth_m > 0
    beyond = 0
    for silhouette, expected in zip(silhouettes(renderer, ids, poses, CAMERA), alone, strict=True):
        inside = silhouette.count(np.ones((CAMERA.height, CAMERA.width), dtype=bool))
        assert inside == silhouette.count(expected) == expected.sum()
        beyond += silhouette.mask.sum() - inside
    assert beyond > 0, "some of them reach beyond the image"


def test_nothing_is_seen_of_a_part_behind_the_camera_or_far_aside(bar):
    poses = from_rotation_translation(np.eye(3), np.array([[0, 0, -0.5], [9.0, 0, 0.5], [0, 0, 0.5]]))
    behind, aside, seen = silhouettes(Renderer([bar.mesh]), [0, 0, 0], poses, CAMERA)
    assert behind.mask.sum() == aside.mask.sum() == 0 < seen.mask.sum()
    assert behind.box_xywh == aside.box_xywh == [-1, -1, -1, -1]


def test_a_part_that_reaches_past_the_lens_is_drawn_as_far_as_it_is_in_front(bar):
    along = exp_so3(np.array([0.0, np.pi / 2, 0.0]))  # its length along the optical axis
    pose = from_rotation_translation(along, np.array([0.0, 0.0, 0.0]))
    depth = transform(pose, bar.mesh.vertices)[:, 2]
    assert depth.min() < 0 < depth.max()
    renderer = Renderer([bar.mesh])
    (whole,) = silhouettes(renderer, [0], pose[None], CAMERA)
    drawn = renderer.crops(np.array([0]), pose[None], CAMERA.intrinsics, CAMERA.height, CAMERA.width).mask[0]
    assert whole.count(np.ones(drawn.shape, bool)) == drawn.sum() > 0


def test_a_covering_plate_halves_the_visible_fraction(bar):
    pose = from_rotation_translation(np.eye(3), np.array([[0.0, 0.0, 0.4]]))
    (whole,) = silhouettes(Renderer([bar.mesh]), [0], pose, CAMERA)
    assert whole.visible_fraction(whole.pixels) == 1.0 and whole.visible_fraction(whole.pixels + 3) == 1.0
    assert whole.visible_fraction(whole.pixels // 2) == pytest.approx(0.5, abs=0.01)
    assert Silhouette(np.zeros((0, 0), bool)).visible_fraction(0) == 0.0


def test_the_border_of_the_image_takes_away_what_is_visible(bar):
    pose = from_rotation_translation(np.eye(3), np.array([[(CAMERA.width - CAMERA.cx) / CAMERA.fx * 0.4, 0.0, 0.4]]))
    (whole,) = silhouettes(Renderer([bar.mesh]), [0], pose, CAMERA)
    inside = whole.count(np.ones((CAMERA.height, CAMERA.width), bool))
    assert whole.visible_fraction(inside) == pytest.approx(0.5, abs=0.1)


def test_the_box_by_hand():
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:6] = True
    assert Silhouette(mask, x0=-4, y0=10).box_xywh == [-2, 11, 4, 2]
    assert Silhouette(mask, x0=-4, y0=0).count(np.ones((2, 9), dtype=bool)) == 2


def test_no_parts():
    assert silhouettes(Renderer([]), [], np.zeros((0, 4, 4)), CAMERA) == []
