from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_simulation.scanner import Scanner
from binpose_simulation.scene import render_view
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig
from binpose_simulation.sensor_noise import exponential, normal, sine, smooth_field
from binpose_simulation.time_of_flight import TimeOfFlight
from binpose_simulation.window_matcher import WindowMatcher

CLASSES = {
    "industrial": Scanner,
    "active_stereo": WindowMatcher,
    "consumer_structured_light": WindowMatcher,
    "time_of_flight": TimeOfFlight,
    "ideal": Scanner,
}


def test_every_kind_is_drawn_as_often_as_stated():
    rng, config = np.random.default_rng(0), SensorConfig()
    kinds = [config.draw(rng)[0] for _ in range(2000)]
    for kind in SENSOR_KINDS:
        assert kinds.count(kind) / len(kinds) == pytest.approx(getattr(config, kind), abs=0.04)


@pytest.mark.parametrize("kind", SENSOR_KINDS)
def test_one_kind_alone_is_drawn_with_parameters_of_its_own_each_time(kind):
    rng, config = np.random.default_rng(0), SensorConfig.only(kind)
    drawn = [config.draw(rng) for _ in range(200)]
    assert {name for name, _ in drawn} == {kind}
    assert all(isinstance(sensor, CLASSES[kind]) for _, sensor in drawn)
    assert len({repr(sensor) for _, sensor in drawn}) == len(drawn)


@pytest.mark.parametrize("kind", SENSOR_KINDS)
def test_a_view_has_its_sensor_and_all_else_is_the_same(kind, pile, small, view):
    other = render_view(pile, np.random.default_rng(1), replace(small, sensor=SensorConfig.only(kind)))
    assert other.sensor == kind and view.sensor in SENSOR_KINDS
    for name in ("T_cam_obj", "T_cam_world", "instance_ids", "depth_clean_m", "visible_px"):
        np.testing.assert_array_equal(getattr(other, name), getattr(view, name))
    measured = other.frame.depth_m > 0
    assert measured.mean() > 0.2
    error = np.abs(other.frame.depth_m - other.depth_clean_m)[measured]
    assert np.median(error) < 0.008


@pytest.mark.parametrize("kind", SENSOR_KINDS)
def test_the_same_seed_gives_the_same_depth(kind, pile, small):
    config = replace(small, sensor=SensorConfig.only(kind))
    one, same, other = (render_view(pile, np.random.default_rng(seed), config) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.frame.depth_m, same.frame.depth_m)
    assert (one.frame.depth_m != other.frame.depth_m).any()


def test_unknown_kinds_and_probabilities_that_are_none_are_refused():
    with pytest.raises(BinposeError, match=r"'lidar'; expected one of industrial, active_stereo"):
        SensorConfig.only("lidar")
    with pytest.raises(BinposeError, match=r"sum to 1.5; expected 1"):
        SensorConfig(ideal=0.55)
    with pytest.raises(BinposeError, match="ideal"):
        SensorConfig(ideal=-0.1, industrial=0.5)


def test_approximations_are_close():
    x = np.linspace(-3, 3, 101)
    np.testing.assert_allclose([exponential(v) for v in x], np.exp(x), rtol=0.04)
    np.testing.assert_allclose([sine(v) for v in x], np.sin(2 * np.pi * x), atol=0.002)


def test_random_numbers_are_standard_normal():
    bits = np.random.default_rng(0).integers(0, 2**64, 20000, np.uint64)
    values = np.array([normal(b) for b in bits])
    assert values.mean() == pytest.approx(0, abs=0.03) and values.std() == pytest.approx(1, abs=0.02)
    field = smooth_field(np.random.default_rng(0), 400, 500, 4.0)
    assert field.mean() == pytest.approx(0, abs=0.05) and field.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(field[:, 12:].ravel(), field[:, :-12].ravel())[0, 1]) < 0.1
