"""Entries are checked as they are read."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop_json import as_annotation, entries_by_image, finite_array

ENTRY = {"cam_R_m2c": [0, -1, 0, 1, 0, 0, 0, 0, 1], "cam_t_m2c": [10, 20, 500], "obj_id": 3}


def test_an_annotation_by_hand():
    annotation = as_annotation(ENTRY, {"visib_fract": 0.25}, "here")
    expected = [[0, -1, 0, 0.01], [1, 0, 0, 0.02], [0, 0, 1, 0.5], [0, 0, 0, 1]]
    np.testing.assert_allclose(annotation.T_cam_obj, expected)
    assert (annotation.obj_id, annotation.visible_fraction) == (3, 0.25)


@pytest.mark.parametrize("info", [{}, {"visib_fract": None}])
def test_visibility_that_is_not_told_is_not_a_number(info):
    assert np.isnan(as_annotation(ENTRY, info, "here").visible_fraction)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"obj_id": None}, "obj_id is None in here; expected the number of a model"),
        ({"cam_t_m2c": [1, 2]}, r"cam_t_m2c is \[1, 2\] in here; expected 3 finite numbers"),
        ({"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, -1]}, "cam_R_m2c is not a rotation in here"),
        ({"cam_R_m2c": [2, 0, 0, 0, 2, 0, 0, 0, 2]}, "cam_R_m2c is not a rotation in here"),
    ],
)
def test_poses_that_are_none(change, told):
    with pytest.raises(BinposeError, match=told):
        as_annotation(ENTRY | change, {}, "here")


@pytest.mark.parametrize("values", [None, "text", [1, None], [1, float("inf")], [[1], [1, 2]]])
def test_arrays_that_are_none(values):
    with pytest.raises(BinposeError, match=r"K is .* in here; expected 2 finite numbers"):
        finite_array(values, (2,), "K", "here")


def test_keys_are_numbers_of_images(tmp_path):
    (tmp_path / "a.json").write_text('{"7": 1, "000012": 2}')
    assert entries_by_image(tmp_path / "a.json") == {7: 1, 12: 2}
    (tmp_path / "a.json").write_text('{"first": 1}')
    with pytest.raises(BinposeError, match="is not the number of an image"):
        entries_by_image(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"1": 1, "000001": 2}', "two entries for image 1"),
        ('{"1_0": 1}', "is not the number of an image"),
        ('{"²": 1}', "is not the number of an image"),
        ('{"-1": 1}', "is not the number of an image"),
    ],
)
def test_keys_that_are_no_number_of_one_image(tmp_path, text, sentence):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(BinposeError, match=sentence):
        entries_by_image(tmp_path / "a.json")
