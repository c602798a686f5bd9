from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import make_working_view
from binpose_detection.features import CHANNELS, SHAPE_CHANNELS, view_features

SHAPE = [CHANNELS.index(name) for name in ("normal_x", "normal_y", "normal_z", "valid", "height_near", "height_far")]
COLOR = [CHANNELS.index(name) for name in ("luma", "luma_local", "red", "blue")]


def features_of(frame: RgbdFrame) -> np.ndarray:
    return view_features(make_working_view(replace(frame, distance_m=0.5), 1e-3, 640 * 480))


def with_holes(frame: RgbdFrame) -> RgbdFrame:
    rng = np.random.default_rng(0)
    holes = rng.random(frame.depth_m.shape) < 0.4
    holes[40:90, 30:120] = True
    return replace(frame, depth_m=np.where(holes, 0, frame.depth_m))


@pytest.mark.parametrize(
    "kind", ["whole", "holes", "one valid pixel", "no depth", "mono", "mono without depth", "black"]
)
def test_features_are_finite_and_bounded(views, kind: str) -> None:
    frame = views[0].frame
    if kind == "holes":
        frame = with_holes(frame)
    elif kind == "one valid pixel":
        depth_m = np.zeros_like(frame.depth_m)
        depth_m[20, 30] = 0.5
        frame = replace(frame, depth_m=depth_m)
    elif kind == "black":
        frame = replace(frame, color=np.zeros_like(frame.color))
    if "mono" in kind:
        frame = replace(frame, color=frame.gray)
    if "no depth" in kind or "without" in kind:
        frame = replace(frame, depth_m=None)
    features = features_of(frame)
    assert features.shape[2] == len(CHANNELS) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.abs(features).max() <= 2


def test_no_depth_means_no_shape_and_mono_no_hue(views) -> None:
    frame = views[0].frame
    assert not features_of(replace(frame, depth_m=None))[..., SHAPE].any()
    assert not features_of(replace(frame, color=frame.gray))[..., COLOR[2:]].any()


def test_shape_is_unknown_where_the_depth_is(views) -> None:
    features = features_of(with_holes(views[0].frame))
    unknown = features[..., CHANNELS.index("valid")] == 0
    assert unknown.any() and not features[unknown][:, SHAPE].any()


def test_the_same_scene_from_farther_away_has_the_same_shape() -> None:
    """Absolute depth does not enter: a scene twice as far, seen with twice the focal length, is the same."""
    near = np.full((96, 96), 0.5, np.float32)
    near[30:60, 30:60] -= 0.02
    color = np.full((96, 96, 3), 100, np.uint8)
    one = features_of(RgbdFrame(color, near, Camera(250.0, 250.0, 47.5, 47.5, 96, 96)))
    # The relief is as deep and the pixels as large as before, only the distance differs.
    other = features_of(RgbdFrame(color, near + np.float32(0.5), Camera(500.0, 500.0, 47.5, 47.5, 96, 96)))
    np.testing.assert_allclose(one[..., SHAPE[3:]], other[..., SHAPE[3:]], atol=0.01)


def test_what_stands_out_towards_the_camera_has_a_positive_height(views) -> None:
    view, known = make_working_view(views[0].frame, 0.94e-3, 640 * 480), views[0]
    assert view.scale == (1, 1)
    heights = view_features(view)[: known.instance_ids.shape[0], : known.instance_ids.shape[1], 4:6]
    rod = known.instance_ids == 1
    assert (heights[rod] > 0).mean() > 0.9


def color_channels(color: np.ndarray) -> np.ndarray:
    """The colour channels (h, w, 4) of an image, RGB or mono."""
    camera = Camera(600.0, 600.0, color.shape[1] / 2, color.shape[0] / 2, color.shape[1], color.shape[0])
    view = make_working_view(RgbdFrame(color, None, camera), 1e-3, color.size)
    return view_features(view)[..., len(SHAPE_CHANNELS) :]


def test_brightness_is_told_against_its_surroundings() -> None:
    """Local contrast does not know the exposure."""
    rng = np.random.default_rng(0)
    color = np.repeat(rng.integers(40, 120, (64, 64, 1)), 3, axis=2).astype(np.uint8)
    contrast, brighter = (color_channels(image[..., 0])[..., 1] for image in (color, color * 2))
    assert np.corrcoef(contrast.ravel(), brighter.ravel())[0, 1] > 0.999
    np.testing.assert_allclose(contrast, brighter, atol=0.12)


def test_hues_are_opponents() -> None:
    for channel, (warm, cold) in {2: ((200, 50, 50), (50, 200, 50)), 3: ((50, 50, 200), (200, 200, 50))}.items():
        one, other = (color_channels(np.full((64, 64, 3), c, np.uint8))[..., channel] for c in (warm, cold))
        assert (one > 0.2).all() and (other < -0.2).all()
    assert not color_channels(np.full((64, 64, 3), 130, np.uint8))[..., 2:].any()
