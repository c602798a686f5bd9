"""No key of a camera's file is dropped in silence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.camera_entries import BOP_KEYS, camera_of_entry, depth_scale_mm
from binpose_core.frames.camera import Camera

ENTRY = {"fx": 600, "fy": 610, "cx": 321, "cy": 238, "width": 640, "height": 480}
MATRIX = {"cam_K": [600, 0, 321, 0, 610, 238, 0, 0, 1]}
CAMERA = Camera(600, 610, 321, 238, 640, 480)
LENS = [0.1, -0.2, 0, 0, 0]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.sampled_from(["", "600", "fisheye", "plumb_bob", "none"]),
    lambda values: st.lists(values, max_size=9) | st.dictionaries(st.sampled_from(["fx", "data"]), values, max_size=2),
    max_leaves=9,
)
KEYS = st.sampled_from([*ENTRY, *MATRIX, "distortion", "distortion_model", "model", "D", "note", "depth_scale"])


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ENTRY | MATRIX,
        {"width": 640, "height": 480} | MATRIX,
        {"width": 640.0, "height": 480, "K": [[600, 0, 321], [0, 610, 238], [0, 0, 1]]},
        ENTRY | {"distortion": None, "distortion_model": None},
        ENTRY | {"distortion": [], "model": "pinhole", "depth_scale": 0.1},
        ENTRY | {"_comment": "of May", "skew": 0, "k1": 0.0},
    ],
)
def test_the_same_camera_in_other_words(entry):
    assert camera_of_entry(entry, "here").camera == CAMERA


def test_the_size_may_come_from_the_image():
    assert camera_of_entry(MATRIX, "here", size=(640, 480)).camera == CAMERA
    with pytest.raises(BinposeError, match=r"No number for width, height in here; .* it has cam_K"):
        camera_of_entry(MATRIX, "here")


def test_a_lens_is_read():
    entry = ENTRY | {"distortion": LENS, "distortion_model": "plumb_bob"}
    assert camera_of_entry(entry, "here").camera.distortion == tuple(LENS)


def test_other_keys_are_named():
    checked = camera_of_entry(ENTRY | {"serial": "A1", "date": 5, "elev": 1}, "here", other_keys=BOP_KEYS)
    assert checked.notes == ("Not read in the camera's file: serial, date.",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "fisheye"}, "distortion model in here is 'fisheye'"),
        ({"camera_model": "equidistant", "distortion": LENS[:4]}, "'equidistant'"),
        ({"type": "FISHEYE"}, "type is FISHEYE in here, which is not read"),
        ({"cam_model": {"projection_params": [1]}}, "cam_model is .* in here, which is not read"),
        ({"is_fisheye": True}, "is_fisheye is True in here, which is not read"),
        ({"camera": {"projection": "equidistant"}}, "camera is .* not read"),
        ({"Distortion": LENS}, "Distortion is .* not read"),
        ({"depthScale": 0.1}, "depthScale is 0.1 in here, which is not read"),
        ({"k1": 0.1, "k2": 0.2}, "k1 is 0.1 in here, which is not read and would change every pose"),
        ({"distortion_coefficients": {"data": LENS}}, "distortion_coefficients is"),
        ({"dist_coeffs": [[0.1, 0, 0, 0]]}, "dist_coeffs is"),
        ({"D": LENS}, "D is .* not read"),
        ({"skew": 3}, "skew is 3"),
        ({"binning_x": 2}, "binning_x is 2"),
        ({"model": "plumb_bob", "distortion_model": "rational_polynomial"}, "expected one name"),
        ({"model": 4}, "expected one name"),
        ({"distortion": "none"}, "distortion is none in here; expected a list"),
        ({"distortion": [0.1, "a", 0, 0]}, "expected a list"),
        ({"cam_K": [601, 0, 321, 0, 610, 238, 0, 0, 1]}, "cam_K and fx, fy, cx, cy disagree"),
        ({"cx": 1e308}, "cx=1e.308"),
        ({"fx": True}, "No number for fx"),
        ({"width": 640.5}, "width is 640.5 in here; expected a whole number"),
        ({"width": 1e300}, "image size in here is"),
    ],
)
def test_entries_that_are_no_camera(change, sentence):
    with pytest.raises(BinposeError, match=sentence):
        camera_of_entry(ENTRY | change, "here")


@pytest.mark.parametrize("scale", [None, "mm", 0, -1, float("nan"), float("inf"), 1e308, 1e-300, True, [1.0]])
def test_scales_that_are_none(scale):
    with pytest.raises(BinposeError, match=r"depth_scale is .* in here; expected the millimetres of one unit"):
        depth_scale_mm(scale, "here")


@given(st.dictionaries(KEYS, ODD, max_size=3), st.lists(st.floats(), max_size=14))
def test_whatever_stands_in_the_file_it_is_a_camera_or_a_sentence(change, coefficients):
    for entry in (change, ENTRY | change, ENTRY | {"distortion": coefficients} | change):
        try:
            camera = camera_of_entry(entry, "here", size=(640, 480)).camera
        except BinposeError as error:
            assert len(str(error)) < 700 and "\n" not in str(error)
        else:
            assert all(map(math.isfinite, (camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion)))
            assert camera.fx > 0 and camera.fy > 0 and camera.width >= 1 and camera.height >= 1
