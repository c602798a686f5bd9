"""All nine numbers of a matrix count, and what no pinhole camera has is refused with the name of the value."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_parameters import Window, check_camera

K = np.array([[600.0, 0, 321], [0, 610, 238], [0, 0, 1]])
SIZE = (640, 480)
LENS = (0.1, -0.2, 1e-3, 2e-3, 0.05)


def changed(row, column, value):
    other = K.copy()
    other[row, column] = value
    return other


@pytest.mark.parametrize("matrix", [K, K.ravel().tolist(), K.tolist(), tuple(K.ravel())])
def test_a_sound_matrix_is_taken_as_it_is(matrix):
    checked = check_camera(matrix, SIZE, "here")
    assert checked.camera == Camera(600, 610, 321, 238, 640, 480) and not checked.notes


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (K.T, "K in here is written column by column: .*600 0 0; 0 610 0; 321 238 1; .* transpose it"),
        (K * 2, "K in here is scaled: .*divide it by 2"),
        (changed(1, 0, 3.0), "K in here is no calibration matrix"),
        (changed(2, 0, 3.0), "K in here is no calibration matrix"),
        (changed(2, 2, 0.0), "K in here is no calibration matrix"),
        (changed(0, 1, 5.0), "a skew of 5; expected 0"),
        (changed(0, 0, np.nan), "K is .*nan.* in here; expected 9 finite numbers"),
        (K.ravel()[:8], "expected 9 finite numbers"),
        ("no matrix", "expected 9 finite numbers"),
        ([10**400] * 9, "expected 9 finite numbers"),
        (changed(0, 0, -600.0), "focal lengths of K in here are fx=-600, fy=610"),
        (changed(0, 0, 0.9), "fx=0.9, fy=610; expected 32 to 640000 pixels"),
        (changed(1, 1, 1e9), "fy=1e.09; expected"),
        (changed(1, 1, 100.0), "differ by less than a factor of 4"),
        (changed(0, 2, 1e308), "principal point of K in here has cx=1e.308; expected about 319.5"),
        (changed(1, 2, -1e5), "principal point of K in here has cy=-100000; expected about 239.5"),
    ],
)
def test_matrices_that_are_none(matrix, sentence):
    with pytest.raises(BinposeError, match=sentence):
        check_camera(matrix, SIZE, "here")


@pytest.mark.parametrize("size", [(0, 0), (-640, 480), (640, 0), (40000, 480), (2**32, 2**32)])
def test_sizes_that_are_none(size):
    with pytest.raises(BinposeError, match=r"image size in here is .*; expected 1 to 32766 pixels each"):
        check_camera(K, size, "here")


def test_a_skew_that_moves_nothing_is_remarked():
    checked = check_camera(changed(0, 1, 0.2), SIZE, "here")
    assert checked.camera == Camera(600, 610, 321, 238, 640, 480) and "skew of 0.2" in checked.notes[0]


@pytest.mark.parametrize("size", [(320, 240), (240, 240), (1920, 1440)])
def test_a_matrix_of_another_size_is_remarked(size):
    (note,) = check_camera(K, size, "here").notes
    assert "principal point" in note and "probably of another size (about 643x477)" in note


@pytest.mark.parametrize("count", [0, 4, 5, 8, 12, 14])
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_padding_with_zeros_changes_nothing(count, zeros):
    coefficients = (*LENS, 0.01, 0.02, 0.01, *(1e-4,) * 6)[:count]
    padded = (*coefficients, *(0.0,) * zeros)
    camera = check_camera(K, SIZE, "here", distortion=padded, model="rational_polynomial").camera
    assert camera.distortion[:count] == coefficients and not any(camera.distortion[count:])


@pytest.mark.parametrize(
    ("distortion", "model", "sentence"),
    [
        (LENS[:1], "", "has 1 coefficients, .0.1.; expected OpenCV's 4, 5, 8, 12 or 14"),
        ((*LENS, 0.1), "plumb_bob", "has 6 coefficients"),
        ((*(0.01,) * 15,), "", "has 15 coefficients"),
        ((0.1, np.nan, 0, 0), "", "distortion coefficients in here are .0.1, nan, 0, 0.; expected finite numbers"),
        ((0.1, np.inf, 0, 0, 0), "plumb_bob", "expected finite numbers"),
        ("text", "plumb_bob", "expected finite numbers"),
        (LENS[:4], "equidistant", "distortion model in here is 'equidistant'; expected plumb_bob or"),
        ((), "fisheye", "'fisheye'"),
        ((0.0,) * 4, "Kannala_Brandt4", "'kannala_brandt4'"),
        (LENS, "none", "'none'; expected plumb_bob or rational_polynomial, or none without"),
        (LENS, "inverse_brown_conrady", "'inverse_brown_conrady'"),
        ((1e6, 0, 0, 0), "", "leave less than half of the image"),
        ((-3.0, 0, 0, 0, 0), "plumb_bob", "leave less than half of the image"),
        ((1e308, 0, 0, 0, 0), "plumb_bob", "leave less than half of the image"),
    ],
)
def test_distortion_that_is_none(distortion, model, sentence):
    with pytest.raises(BinposeError, match=sentence):
        check_camera(K, SIZE, "here", distortion=distortion, model=model)


@pytest.mark.parametrize("model", ["", "none", "pinhole", "plumb_bob", "PLUMB_BOB", "inverse_brown_conrady"])
def test_zeros_are_no_distortion(model):
    assert check_camera(K, SIZE, "here", distortion=[0.0] * 7, model=model).camera.distortion == ()


def test_more_coefficients_than_the_model_has_are_remarked():
    checked = check_camera(K, SIZE, "here", distortion=(*LENS, 0, 0, 0.01), model="plumb_bob")
    assert len(checked.camera.distortion) == 8 and "more than the 5 of its model plumb_bob" in checked.notes[0]


def test_a_lens_that_folds_the_border_is_remarked():
    (note,) = check_camera(K, SIZE, "here", distortion=(-1.5, 0, 0, 0, 0)).notes
    assert "fold the image at its border" in note


def test_a_window_divides_and_shifts():
    """A point of the full image lies at (u - x) / binning of the window, as sensor_msgs/CameraInfo states it."""
    window = Window(100, 40, 400, 300, 2, 3)
    full = check_camera(K, SIZE, "here", distortion=LENS).camera
    part = check_camera(K, SIZE, "here", distortion=LENS, window=window).camera
    assert (part.width, part.height, part.distortion) == (200, 100, full.distortion)
    point = np.array([0.05, -0.02, 0.7])
    np.testing.assert_allclose(part.project(point), (full.project(point) - [100, 40]) / [2, 3])


@pytest.mark.parametrize("window", [Window(), Window(binning_x=0, binning_y=0), Window(0, 0, 640, 480)])
def test_a_window_of_everything_changes_nothing(window):
    assert check_camera(K, SIZE, "here", window=window) == check_camera(K, SIZE, "here")


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        (Window(600, 0, 100, 100), r"region of interest in here is 100x100 pixels from \(600, 0\)"),
        (Window(10, 0, 0, 0), "region of interest"),
        (Window(0, 0, 100, 0), "region of interest"),
        (Window(binning_x=1000), "binning in here is 1000x1 for 640x480 pixels"),
    ],
)
def test_windows_outside_of_the_image(window, sentence):
    with pytest.raises(BinposeError, match=sentence):
        check_camera(K, SIZE, "here", window=window)
