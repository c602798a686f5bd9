"""Bins before the camera of one path-traced cell: the same cell, other images."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_cell.cell_camera import CellCamera
from binpose_cell.filled_bin import FilledBin
from binpose_cell.traced_camera import traced_camera
from binpose_core.base.errors import BinposeError
from binpose_simulation.example_scene import example_scene
from binpose_simulation.path_traced.config import PathTracedConfig, StereoConfig
from binpose_simulation.path_traced.path_tracer import SENSOR

from .conftest import SPEC, lying

TINY = PathTracedConfig(
    cell=3, samples=2, max_depth=3, variant="scalar_rgb", stereo=StereoConfig(samples=2, max_depth=2, speckle_px=4)
)


@pytest.fixture
def filled(prepared):
    return FilledBin(SPEC, (prepared,) * 2, np.stack([lying(-0.08), lying(0.08)]))


@pytest.fixture(scope="module")
def small():
    """Images of 96x72 pixels."""
    scene = example_scene()
    return replace(scene, viewpoint=replace(scene.viewpoint, width=96, height=72))


def test_bins_of_one_cell_have_one_camera(filled):
    one, other = (traced_camera(filled, TINY, noise_seed) for noise_seed in (7, 8))
    assert one.camera == other.camera
    np.testing.assert_array_equal(one.T_cam_world, other.T_cam_world)
    another = traced_camera(filled, replace(TINY, cell=4), 7)
    assert np.abs(another.T_cam_world - one.T_cam_world).max() > 1e-3


def test_a_path_traced_view_shows_the_poses_of_the_physics(filled, small):
    """The truth equals that of the standard renderer; images and matched depth show a part where it has moved to."""
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    pytest.importorskip("pyoidn", reason="needs the extra: pip install 'binpose[path_traced]'")
    traced = traced_camera(filled, TINY, 7, small)
    standard = CellCamera(filled, 3, scene=small)
    T = filled.T_world_obj.copy()
    T[0, 0, 3] += 0.03
    before, after = (traced.view(poses, 0) for poses in (filled.T_world_obj, T))
    for view, poses in ((before, filled.T_world_obj), (after, T)):
        other = standard.view(poses, 0)
        np.testing.assert_array_equal(view.T_cam_obj, other.T_cam_obj)
        np.testing.assert_array_equal(view.instance_ids, other.instance_ids)
        assert view.sensor == SENSOR and view.frame.color.shape == (72, 96, 3)
        assert disparity_error_px(view) < 0.5, "images of so few pixels are matched to a fraction of a pixel"
    moved = before.instance_ids != after.instance_ids
    change = np.abs(before.frame.color.astype(float) - after.frame.color).mean(axis=-1)
    assert change[moved].mean() > 2 * change[~moved].mean()


def disparity_error_px(view):
    """Median error of the matched depth, as a shift between the two infrared images."""
    measured = (view.frame.depth_m > 0) & (view.depth_clean_m > 0)
    assert measured.mean() > 0.3
    shift_px = view.frame.camera.fx / TINY.stereo.wider * TINY.stereo.baseline_m
    error = 1 / view.frame.depth_m[measured] - 1 / view.depth_clean_m[measured]
    return shift_px * float(np.median(np.abs(error)))


def test_the_noise_of_two_bins_differs(filled, small):
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    pytest.importorskip("pyoidn", reason="needs the extra: pip install 'binpose[path_traced]'")
    first, again, other = (
        traced_camera(filled, TINY, seed, small).view(filled.T_world_obj, 0).frame.color for seed in (7, 7, 8)
    )
    assert (first == again).all() and (first != other).any()
    assert np.abs(first.astype(float).mean() - other.astype(float).mean()) < 5.0, "the light is the same"


def test_a_path_tracer_without_a_cell_is_refused(filled):
    with pytest.raises(BinposeError, match="cell is None"):
        traced_camera(filled, PathTracedConfig(), 7)
