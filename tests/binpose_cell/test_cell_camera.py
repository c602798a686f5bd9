"""One camera sees the whole bin; a part that is taken away changes no material."""

import numpy as np
import pytest

from binpose_cell.cell_camera import CellCamera
from binpose_cell.filled_bin import FilledBin

from .conftest import SPEC, lying


@pytest.fixture
def filled(prepared):
    return FilledBin(SPEC, (prepared,) * 2, np.stack([lying(-0.08), lying(0.08)]))


def test_the_rim_is_inside_the_image(filled):
    for seed in range(5):
        one = CellCamera(filled, seed)
        low, high = SPEC.inner_bounds(SPEC.height_m)
        rim = np.array([[x, y, SPEC.height_m] for x in (low[0], high[0]) for y in (low[1], high[1])])
        places = one.camera.project(rim @ one.T_cam_world[:3, :3].T + one.T_cam_world[:3, 3])
        assert (places > 0).all() and (places < [one.camera.width, one.camera.height]).all()


def test_a_part_that_is_taken_away_leaves_the_rest_as_it_was(filled):
    one, T = CellCamera(filled, 2), filled.T_world_obj.copy()
    full = one.view(T, 0)
    T[0, :3, 3] = 0.0, 0.0, 100.0
    taken = one.view(T, 0)
    assert full.object_ids == ("block", "block") and taken.object_ids == ("block",)
    other = full.instance_ids == 1
    before, after = (view.frame.color[other].astype(float).mean(axis=0) for view in (full, taken))
    assert np.abs(before - after).max() < 8


def test_equal_numbers_give_equal_images(filled):
    one = CellCamera(filled, 2)
    first, again, next_one = (one.view(filled.T_world_obj, number) for number in (0, 0, 1))
    assert (first.frame.depth_m == again.frame.depth_m).all() and (first.frame.color == again.frame.color).all()
    assert (first.frame.depth_m != next_one.frame.depth_m).any()
