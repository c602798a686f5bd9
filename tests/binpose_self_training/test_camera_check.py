"""Frames of another camera are reported, and used."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_self_training.camera_check import other_cameras, too_coarse


@pytest.fixture
def frame(scenes: Sequence[Any]) -> RgbdFrame:
    return scenes[0].frame


def with_camera(frame: RgbdFrame, **values: float) -> RgbdFrame:
    return replace(frame, camera=replace(frame.camera, **values))


def test_one_camera_is_no_news_even_if_it_was_calibrated_again(frame: RgbdFrame) -> None:
    again = with_camera(frame, fx=1.01 * frame.camera.fx, cx=frame.camera.cx + 2)
    assert other_cameras([("monday", frame), ("tuesday", again), ("monday", frame)]) == []
    assert other_cameras([]) == []


@pytest.mark.parametrize("change", ["focal length", "size", "colour"])
def test_another_camera_is_reported_with_its_recording(frame: RgbdFrame, change: str) -> None:
    half = Camera(220.0, 220.0, 39.5, 29.5, 80, 60)
    other = {
        "focal length": with_camera(frame, fx=300.0, fy=300.0),
        "size": RgbdFrame(frame.color[::2, ::2], frame.depth_m[::2, ::2], half),
        "colour": replace(frame, color=frame.color[..., 0].copy()),
    }[change]
    (note,) = other_cameras([("monday", frame), ("monday", frame), ("tuesday", other)])
    assert note.startswith("tuesday has 1 frames of another camera") and "they are used" in note
    assert {"focal length": "300", "size": "80 x 60", "colour": "monochrome"}[change] in note


def test_a_camera_that_changes_within_a_recording_is_reported(frame: RgbdFrame) -> None:
    other = with_camera(frame, fx=300.0, fy=300.0)
    (note,) = other_cameras([("monday", frame)] * 5 + [("monday", other)] * 2)
    assert "monday has 2 frames" in note


def test_pixels_that_are_too_large_for_the_model_are_reported(frame: RgbdFrame) -> None:
    pixel_m = float(np.median(frame.depth_m)) / frame.camera.fx
    assert too_coarse([frame], pixel_m / 1.9) == [] == too_coarse([], 1e-3)
    (note,) = too_coarse([frame, frame], pixel_m / 2.1)
    assert f"covers {1000 * pixel_m:.2f} mm" in note and "record with a camera" in note
    assert too_coarse([replace(frame, depth_m=None)], 1e-6) == []
