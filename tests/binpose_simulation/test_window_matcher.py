import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_simulation.sensor_input import Optics, SensorInput
from binpose_simulation.window_matcher import WindowMatcher, match, match_window

CAMERA = Camera(400, 400, 79.5, 59.5, 160, 120)
SHAPE = (CAMERA.height, CAMERA.width)
OPTICS = Optics(baseline_m=0.05)
INSIDE = np.s_[10:-10, 10:-10]


def plane(depth_m=0.5, tilt_rad=0.0, **light):
    """A plane through (0, 0, depth_m), turned about the image's vertical."""
    n = np.array([np.sin(tilt_rad), 0.0, -np.cos(tilt_rad)])
    x = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx
    depth = np.broadcast_to(n[2] * depth_m / (n[0] * x + n[2]), SHAPE)
    normals = np.broadcast_to(n, (*SHAPE, 3)).astype(np.float32)
    return SensorInput(depth.astype(np.float32), normals, CAMERA, **light)


def step(near_m, far_m):
    scene = plane(far_m)
    scene.depth_m[:, :80] = near_m
    return scene


def apply(scene, **settings):
    return WindowMatcher(**{"optics": OPTICS, **settings}).apply(np.random.default_rng(0), scene)


@pytest.mark.parametrize("radius_px", [1, 2, 3, 5])
@pytest.mark.parametrize("tilt_rad", [0.0, 0.9])
def test_planes_come_out_exact(tilt_rad, radius_px):
    """Disparity is linear on a plane: the mean over a window is that of its middle, however slanted it is."""
    scene = plane(0.5, tilt_rad)
    np.testing.assert_allclose(apply(scene, radius_px=radius_px)[INSIDE], scene.depth_m[INSIDE], rtol=2e-5)


@pytest.mark.parametrize("depth_m", [0.4, 0.8])
@pytest.mark.parametrize("tilt_rad", [0.0, 0.7])
def test_the_error_of_depth_is_that_of_the_disparity_times_z_squared_by_fb(depth_m, tilt_rad):
    scene = plane(depth_m, tilt_rad)
    error = apply(scene, noise_px=0.1)[INSIDE] - scene.depth_m[INSIDE]
    expected = 0.1 * scene.depth_m[INSIDE] ** 2 / (CAMERA.fx * OPTICS.baseline_m)
    assert (error / expected).std() == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize("radius_px", [1, 2, 4])
def test_neighbours_have_errors_in_common_as_far_as_their_windows_overlap(radius_px):
    error = apply(plane(), radius_px=radius_px, noise_px=0.1)[INSIDE] - 0.5
    size = 2 * radius_px + 1
    for lag in range(1, size + 2):
        correlation = np.corrcoef(error[:, lag:].ravel(), error[:, :-lag].ravel())[0, 1]
        assert correlation == pytest.approx(max(1 - lag / size, 0.0), abs=0.12)


def test_errors_are_common_to_neighbours_also_beside_an_edge():
    """There the window's votes are counted one by one."""
    scene = step(0.5, 0.6)
    error = apply(scene, radius_px=5, noise_px=0.1)[10:-10, 81:85] - apply(scene, radius_px=5)[10:-10, 81:85]
    for one, other in ((error[1:], error[:-1]), (error[:, 1:], error[:, :-1])):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.6


def test_dim_pixels_are_noisier():
    signal = np.ones(SHAPE, np.float32)
    signal[:, 80:] = 0.25
    error = apply(plane(signal=signal), noise_px=0.1) - 0.5
    assert error[10:-10, 90:-10].std() > 1.4 * error[10:-10, 10:70].std()


def test_small_steps_are_smeared_over_the_window_and_large_ones_stay():
    smeared = apply(step(0.5, 0.505), radius_px=4, tolerance_px=1.5)[60]
    assert (np.diff(smeared[70:90]) >= 0).all() and ((smeared > 0.5005) & (smeared < 0.5045)).sum() >= 6
    sharp = apply(step(0.5, 0.6), radius_px=4, tolerance_px=1.5)[60]
    assert np.minimum(abs(sharp[8:-8] - 0.5), abs(sharp[8:-8] - 0.6)).max() < 1e-4


@pytest.mark.parametrize(("fattening", "wider_px"), [(1.0, (-1, 1)), (3.0, (1, 4)), (0.33, (-4, -1))])
def test_the_side_that_counts_more_grows_into_the_other(fattening, wider_px):
    near = (apply(step(0.5, 0.6), radius_px=4, fattening=fattening)[60] < 0.55).sum() - 80
    assert wider_px[0] <= near <= wider_px[1]


def test_without_a_clear_winner_there_is_a_hole_at_the_edge_alone():
    result = apply(step(0.5, 0.6), radius_px=4, consensus=0.75)[60]
    assert (result[78:81] == 0).all() and (result[10:74] > 0).all() and (result[86:-10] > 0).all()


def test_small_holes_are_filled_and_large_ones_stay():
    scene = plane()
    scene.depth_m[30, 30] = 0
    scene.depth_m[60:90, 60:90] = 0
    result = apply(scene, radius_px=3, support=0.4)
    assert result[30, 30] == pytest.approx(0.5, abs=1e-4)
    assert (result[65:85, 65:85] == 0).all()


def test_disparities_and_depths_come_in_steps():
    scene = plane(0.5, 0.8)
    disparity = CAMERA.fx * 0.05 / apply(scene, step_px=0.125)[INSIDE]
    np.testing.assert_allclose(disparity, np.round(disparity / 0.125) * 0.125, atol=1e-3)
    depth = apply(scene, quantum_m=0.001)[INSIDE]
    np.testing.assert_allclose(depth, np.round(depth / 0.001) * 0.001, atol=1e-6)


@pytest.mark.parametrize(("azimuth_rad", "lost"), [(0.0, np.s_[:, :36]), (np.pi, np.s_[:, -36:])])
def test_the_band_without_a_match_lies_on_the_second_cameras_side(azimuth_rad, lost):
    """At 0.5 m the disparity is 40 px."""
    optics = Optics(baseline_m=0.05, azimuth_rad=azimuth_rad)
    result = apply(plane(), optics=optics, band=True)
    assert (result[lost] == 0).all()
    assert (result > 0).mean() == pytest.approx(1 - 40 / CAMERA.width, abs=0.03)


def test_errors_of_the_calibration_are_the_stated_ones():
    assert apply(plane(), scale=1.01)[60, 80] == pytest.approx(0.505, rel=1e-4)
    assert apply(plane(), offset_px=0.4)[60, 80] == pytest.approx(0.5 * 40 / 40.4, rel=1e-4)


@pytest.mark.parametrize("radius", [1, 2, 3, 5])
def test_the_fast_way_finds_what_the_rule_finds(radius):
    """`match` takes whole windows of one surface from a table; `match_window` goes through every one."""
    rng = np.random.default_rng(radius)
    disparity = np.full((40, 50), 30.0, np.float32) + np.linspace(0, 4, 50, dtype=np.float32)
    disparity[10:25, 15:30] += 8
    disparity[30:34, 5:9] = 0
    slopes = np.zeros((40, 50, 2), np.float32)
    slopes[..., 0] = 4 / 49
    fray = rng.normal(size=(40, 50)).astype(np.float32)
    choice = np.array([1.0, 1.5, 0.55, 0.3, 0.3])
    matched = np.zeros((40, 50), np.float32)
    match(disparity, disparity, slopes, fray, radius, choice, matched)
    room = np.empty((2, (2 * radius + 1) ** 2))
    rule = [
        [match_window(disparity, disparity, 4 / 49, 0.0, v, u, fray[v, u], radius, choice, *room) for u in range(50)]
        for v in range(40)
    ]
    # the two count support on different pixels, where windows are not whole
    assert (abs(matched - np.array(rule)) < 2e-4).mean() > 0.98


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"radius_px": 0}, "radius_px"), ({"noise_px": -1.0}, "noise_px"), ({"consensus": 2.0}, "consensus"),
     ({"optics": Optics(baseline_m=0.0)}, "baseline"), ({"scale": float("nan")}, "scale")],
)  # fmt: skip
def test_nonsense_is_refused(settings, named):
    with pytest.raises(BinposeError, match=named):
        WindowMatcher(**settings)
