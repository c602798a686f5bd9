"""Sets of views show one pile with one camera from all sides."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse, transform
from binpose_simulation.stream import views
from binpose_simulation.view_set_config import ViewSetConfig
from binpose_simulation.view_sets import view_set


@pytest.fixture(scope="module")
def three(pile, small):
    return list(view_set(pile, np.random.default_rng(3), small.with_view_set(ViewSetConfig(3))))


def test_camera_and_sensor_are_the_same_and_the_directions_differ(three) -> None:
    assert len({view.frame.camera for view in three}) == len({view.sensor for view in three}) == 1
    axes = np.stack([inverse(view.T_cam_world)[:3, 2] for view in three])
    assert (axes[:, 2] < -0.7).all() and (axes @ axes.T)[np.triu_indices(3, 1)].max() < 0.99


def test_parts_rest_in_the_world(three) -> None:
    places = [
        {name: inverse(v.T_cam_world) @ T for name, T in zip(v.object_ids, v.T_cam_obj, strict=True)} for v in three
    ]
    for name in set(places[0]) & set(places[1]) & set(places[2]):
        np.testing.assert_allclose(places[0][name], places[1][name], atol=1e-6)
        np.testing.assert_allclose(places[0][name], places[2][name], atol=1e-6)


def test_the_true_depth_of_one_view_is_never_in_the_free_space_of_another(three) -> None:
    one, other = three[:2]
    camera = one.frame.camera
    rows, columns = np.nonzero(one.depth_clean_m > 0)
    z = one.depth_clean_m[rows, columns].astype(np.float64)
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], -1)
    there = transform(other.T_cam_world @ inverse(one.T_cam_world), points)
    u = np.rint(camera.fx * there[:, 0] / there[:, 2] + camera.cx).astype(int)
    v = np.rint(camera.fy * there[:, 1] / there[:, 2] + camera.cy).astype(int)
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    gap = other.depth_clean_m[v[inside], u[inside]] - there[inside, 2]
    assert (gap > 0.005).mean() < 0.06  # only at edges, where a pixel shows both sides


def test_fixed_cameras_look_from_the_same_directions_at_any_seed(pile, small) -> None:
    config = small.with_view_set(ViewSetConfig(2, fixed=True))
    one, other = (list(view_set(pile, np.random.default_rng(seed), config)) for seed in (1, 2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.T_cam_world[:3, :3], b.T_cam_world[:3, :3], atol=1e-9)


def test_the_stream_makes_the_same_set_in_any_order(parts, small) -> None:
    config = small.with_view_set(ViewSetConfig(2))
    in_order = list(views(parts, config, 7, range(4)))
    third = next(views(parts, config, 7, [3]))
    np.testing.assert_array_equal(third.frame.color, in_order[3].frame.color)
    np.testing.assert_array_equal(third.frame.depth_m, in_order[3].frame.depth_m)


def test_a_view_set_and_views_per_pile_must_agree(small) -> None:
    with pytest.raises(BinposeError, match=r"4 views per pile and a view set of 3"):
        replace(small, views_per_pile=4, view_set=ViewSetConfig(3))


def test_impossible_directions_are_refused() -> None:
    with pytest.raises(BinposeError, match="tilt_rad"):
        ViewSetConfig(tilt_rad=(0.5, 0.1))
    with pytest.raises(BinposeError, match="views is 0"):
        ViewSetConfig(0)
