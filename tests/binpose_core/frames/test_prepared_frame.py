"""What stages share of a frame is computed once."""

import numpy as np
import pytest

from binpose_core.frames import prepared_frame
from binpose_core.frames.camera import Camera
from binpose_core.frames.prepared_frame import prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import ERASED_COLOR, make_working_view

CAMERA, MANY = Camera(200.0, 200.0, 79.5, 59.5, 160, 120), 10**6


@pytest.fixture
def frame() -> RgbdFrame:
    depth_m = np.random.default_rng(0).uniform(0.5, 0.6, (120, 160)).astype(np.float32)
    return RgbdFrame(np.full((120, 160, 3), 90, np.uint8), depth_m, CAMERA)


def test_a_view_is_made_once_per_frame_and_setting(frame: RgbdFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(prepared_frame, "make_working_view", lambda *given: made.append(given) or object())
    given = prepared(frame)
    first = given.view(2e-3, MANY)
    assert given.view(2e-3, MANY) is first
    assert given.view(3e-3, MANY) is not first and given.view(2e-3, 9000) is not first
    assert prepared(frame).view(2e-3, MANY) is not first, "nothing is kept with the frame"
    assert made == [(frame, 2e-3, MANY), (frame, 3e-3, MANY), (frame, 2e-3, 9000), (frame, 2e-3, MANY)]


def test_a_view_is_that_of_the_frame(frame: RgbdFrame) -> None:
    view, expected = prepared(frame).view(2e-3, MANY), make_working_view(frame, 2e-3, MANY)
    np.testing.assert_array_equal(view.depth_m, expected.depth_m)
    assert view.scale == expected.scale


def test_what_is_prepared_is_not_prepared_again(frame: RgbdFrame) -> None:
    given = prepared(frame)
    assert prepared(given) is given and given.frame is frame


def test_erased_pixels_are_gone_from_the_view_and_the_rest_stays(frame: RgbdFrame) -> None:
    pixels = np.zeros(frame.depth_m.shape, bool)
    pixels[: frame.camera.height // 2] = True
    whole = prepared(frame)
    erased, view = whole.without(pixels).view(0.002, 10**6), whole.view(0.002, 10**6)
    gone = view.labels(pixels.astype(np.int32)) > 0
    assert gone.any() and not gone.all()
    assert (erased.depth_m[gone] == 0).all() and (erased.normals[gone] == 0).all()
    assert (erased.color[gone] == ERASED_COLOR).all()
    for before, after in ((view.depth_m, erased.depth_m), (view.color, erased.color), (view.normals, erased.normals)):
        np.testing.assert_array_equal(after[~gone], before[~gone])
    assert whole.without(pixels).frame is frame
