from types import ModuleType

import numpy as np
import pytest

from binpose_core.evaluation.matching import HALF_VISIBLE
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig

KNOWN_PARTS = 871
ARRAYS = ("T_cam_obj", "T_cam_world", "instance_ids", "visible_fraction", "visible_px", "depth_clean_m")


@pytest.fixture(scope="module")
def objects():
    return load_bundle("demo").objects


@pytest.fixture
def scenes(benchmarks: None) -> ModuleType:
    import scenes

    return scenes


def test_the_bins_are_stored(scenes, objects):
    """Their number and that of their parts are those of every published figure."""
    bins = scenes.stored_bins(objects, scenes.scene_of(objects))
    assert len(bins) == 60
    assert sum(len(stored.pile.object_ids) for stored in bins) == KNOWN_PARTS
    assert scenes.STORED.stat().st_size < 1e6


@pytest.mark.slow
def test_the_number_of_parts_at_least_half_visible(scenes, objects):
    views = scenes.unseen_views(objects, 60)
    assert sum(int((view.visible_fraction >= HALF_VISIBLE).sum()) for view in views) == 528


def test_rendered_twice_they_are_the_same_to_the_last_bit(scenes, objects):
    one, two = (scenes.unseen_views(objects, 3) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        np.testing.assert_array_equal(first.frame.color, second.frame.color)
        np.testing.assert_array_equal(first.frame.depth_m, second.frame.depth_m)
        assert first.sensor == second.sensor


def test_another_sensor_sees_the_same_bins(scenes, objects):
    views = [scenes.unseen_views(objects, 1, sensor=SensorConfig.only(kind))[0] for kind in SENSOR_KINDS[:2]]
    assert [view.sensor for view in views] == list(SENSOR_KINDS[:2])
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(views[0], name), getattr(views[1], name))


def test_bins_of_other_parts_are_settled_here(scenes, objects, capsys):
    few = dict(list(objects.items())[:2])
    assert scenes.stored_bins(few, scenes.scene_of(few)) == []
    assert "contain other parts" in capsys.readouterr().out
