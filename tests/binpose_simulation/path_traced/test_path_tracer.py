from dataclasses import replace

import numpy as np
import pytest

from binpose_simulation.path_traced.path_tracer import PathTracer
from binpose_simulation.scene import render_view


@pytest.fixture(scope="module")
def view(pile, tiny, traced):
    return PathTracer(traced)(pile, np.random.default_rng(1), tiny)


def test_labels_equal_those_of_the_standard_renderer(view, pile, tiny):
    standard = render_view(pile, np.random.default_rng(1), tiny)
    assert view.object_ids == standard.object_ids and view.frame.camera == standard.frame.camera
    for name in ("T_cam_obj", "instance_ids", "visible_fraction", "visible_px", "T_cam_world"):
        np.testing.assert_array_equal(getattr(view, name), getattr(standard, name))


def test_equal_seeds_give_equal_images_and_others_do_not(view, pile, tiny, traced):
    again = PathTracer(traced)(pile, np.random.default_rng(1), tiny)
    np.testing.assert_array_equal(again.frame.color, view.frame.color)
    np.testing.assert_array_equal(again.frame.depth_m, view.frame.depth_m)
    other = PathTracer(replace(traced, cell=2))(pile, np.random.default_rng(1), tiny)
    np.testing.assert_array_equal(other.T_cam_obj, view.T_cam_obj)
    assert (other.frame.color != view.frame.color).mean() > 0.5


def test_depth_is_measured_and_not_taken_from_the_geometry(view):
    depth_m, true_m = view.frame.depth_m, view.depth_clean_m
    both = (depth_m > 0) & (true_m > 0)
    error_m = np.abs(depth_m - true_m)[both]
    assert both.mean() > 0.2
    # a few steps of the disparity, which are large at this size, and never the exact depth
    assert 0.0 < np.median(error_m) < 0.1 * np.median(true_m[both])
    assert (error_m > 0).mean() > 0.95
