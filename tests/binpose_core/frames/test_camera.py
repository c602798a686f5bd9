"""Laws of the pinhole camera."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera

CAMERA = Camera(fx=600.0, fy=610.0, cx=321.5, cy=238.25, width=640, height=480)


def test_a_point_on_the_optical_axis_is_seen_at_the_principal_point() -> None:
    np.testing.assert_allclose(CAMERA.project(np.array([0.0, 0.0, 0.7])), [321.5, 238.25])


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.1, 5.0))
def test_projection_is_multiplication_by_K(x: float, y: float, z: float) -> None:
    u, v, w = CAMERA.K @ [x, y, z]
    np.testing.assert_allclose(CAMERA.project(np.array([x, y, z])), [u / w, v / w])


def test_projection_undoes_backprojection(rng: np.random.Generator) -> None:
    depth_m = rng.uniform(0.3, 2.0, size=(480, 640)).astype(np.float32)
    points = CAMERA.backproject(depth_m)
    assert points.dtype == np.float32
    pixels = CAMERA.project(points.astype(np.float64))
    rows, columns = np.indices(depth_m.shape)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=-1), atol=1e-3)


def test_missing_depth_stays_at_the_origin() -> None:
    assert not CAMERA.backproject(np.zeros((480, 640), np.float32)).any()


def test_K_goes_round() -> None:
    assert Camera.from_K(CAMERA.K, 640, 480) == CAMERA


@given(st.integers(0, 600), st.integers(0, 400))
def test_a_crop_shifts_pixels(x0: int, y0: int) -> None:
    point = np.array([0.1, -0.05, 0.8])
    cropped = CAMERA.cropped(x0, y0, 40, 30)
    assert (cropped.width, cropped.height) == (40, 30)
    np.testing.assert_allclose(cropped.project(point), CAMERA.project(point) - [x0, y0])


@pytest.mark.parametrize("size", [(320, 240), (1280, 960), (640, 240)])
def test_a_resized_camera_sees_what_a_resized_image_shows(size: tuple[int, int]) -> None:
    """A smooth spot, resized by OpenCV, stays where the resized camera projects its centre."""
    point = np.array([0.05, 0.03, 0.8])
    u, v = CAMERA.project(point)
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    spot = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 200).astype(np.float32)
    small = cv2.resize(spot, size, interpolation=cv2.INTER_AREA if size[0] <= 640 else cv2.INTER_LINEAR)
    moments = cv2.moments(small)
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    np.testing.assert_allclose(centre, CAMERA.resized(*size).project(point), atol=0.02)


def test_resizing_there_and_back_changes_nothing() -> None:
    back = CAMERA.resized(320, 120).resized(640, 480)
    np.testing.assert_allclose(back.intrinsics, CAMERA.intrinsics)


@pytest.mark.parametrize(
    "change", [{"fx": 0.0}, {"fy": -600.0}, {"fx": float("nan")}, {"cx": float("inf")}, {"width": 0}, {"height": -1}]
)
def test_nonsense_is_refused(change: dict[str, float]) -> None:
    values = {"fx": 600, "fy": 600, "cx": 320, "cy": 240, "width": 640, "height": 480}
    with pytest.raises(BinposeError, match="expected"):
        Camera(**{**values, **change})  # type: ignore[arg-type]


def test_numpy_numbers_become_plain_ones() -> None:
    """A NumPy scalar would turn float32 images into float64 ones, and equal cameras would give other poses."""
    camera = Camera(*np.array([600.0, 601.0, 319.5, 239.5]), 640, 480)
    assert all(type(value) is float for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    assert (np.ones(2, np.float32) * camera.fx).dtype == np.float32
