import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import inverse
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.gbuffer import SmoothMeshes, Table, gbuffer
from binpose_simulation.lighting import Lamp, shadow
from binpose_simulation.scanner import Scanner
from binpose_simulation.sensor_input import Optics, SensorInput
from binpose_simulation.viewpoint import look_at

CAMERA = Camera(300, 300, 79.5, 59.5, 160, 120)
SHAPE = (CAMERA.height, CAMERA.width)


def flat(depth_m, tilt_rad=0.0, **light):
    """A plane of constant depth, for the noise depends on the normal alone."""
    normals = np.zeros((*SHAPE, 3), np.float32)
    normals[..., 0], normals[..., 2] = np.sin(tilt_rad), -np.cos(tilt_rad)
    return SensorInput(np.full(SHAPE, depth_m, np.float32), normals, CAMERA, **light)


def step():
    scene = flat(0.5)
    scene.depth_m[:, 80:] = 0.6
    return scene


def measured_noise(depth_m, tilt_rad=0.0, **settings):
    scene = flat(depth_m, tilt_rad)
    return (Scanner(quantum_m=0.0, **settings).apply(np.random.default_rng(0), scene) - scene.depth_m).std()


def test_without_noise_the_depth_is_the_quantised_truth(view):
    normals = np.zeros((*view.depth_clean_m.shape, 3), np.float32)
    normals[..., 2] = -1
    scene = SensorInput(view.depth_clean_m, normals, view.frame.camera)
    result = Scanner(quantum_m=0.001).apply(np.random.default_rng(0), scene)
    assert np.abs(result - scene.depth_m).max() < 0.000501
    np.testing.assert_allclose(result, np.round(result / 0.001) * 0.001, atol=1e-6)


def test_noise_grows_with_the_square_of_the_distance():
    ratio = measured_noise(1.2, noise_per_m=0.002) / measured_noise(0.6, noise_per_m=0.002)
    assert ratio == pytest.approx(4.0, rel=0.05)


def test_noise_has_the_stated_size_and_grows_with_slant():
    assert measured_noise(1.0, noise_m=0.001) == pytest.approx(0.001, rel=0.05)
    assert measured_noise(1.0, np.pi / 3, noise_m=0.001) == pytest.approx(0.002, rel=0.05)


def test_correlated_noise_keeps_its_size_and_is_common_to_neighbours():
    scene = flat(1.0)
    scanner = Scanner(quantum_m=0.0, noise_m=0.001, correlated=0.9, correlation_px=6)
    error = scanner.apply(np.random.default_rng(3), scene) - scene.depth_m
    assert error.std() == pytest.approx(0.001, rel=0.2)
    assert np.corrcoef(error[:, :-1].ravel(), error[:, 1:].ravel())[0, 1] > 0.5


def test_edges_are_lost_and_planes_are_not():
    result = Scanner(edge_drop=1.0).apply(np.random.default_rng(0), step())
    assert (result[:, 79:81] == 0).all()
    assert (result[:, :79] > 0).all() and (result[:, 81:] > 0).all()


def test_flying_pixels_lie_between_front_and_back():
    result = Scanner(edge_fly=1.0, quantum_m=0.0).apply(np.random.default_rng(0), step())[:, 79:81]
    assert ((result >= 0.5) & (result <= 0.6)).all()
    assert ((result > 0.51) & (result < 0.59)).mean() > 0.5


def test_slanted_faces_are_lost():
    scanner = Scanner(Optics(slant_cosine=0.3))
    assert (scanner.apply(np.random.default_rng(0), flat(0.5, 1.5)) == 0).all()
    assert (scanner.apply(np.random.default_rng(0), flat(0.5, 0.5)) > 0).all()


def test_too_little_and_too_much_light_is_lost():
    signal = np.ones(SHAPE, np.float32)
    signal[:20], signal[-20:] = 0.01, 50.0
    scanner = Scanner(Optics(weakest=0.1, strongest=10.0))
    result = scanner.apply(np.random.default_rng(0), flat(0.5, signal=signal))
    assert (result[:20] == 0).all() and (result[-20:] == 0).all() and (result[20:-20] > 0).all()


def test_mirrored_light_disturbs():
    stray = np.zeros(SHAPE, np.float32)
    stray[:, :50] = 3.0
    result = Scanner(Optics(stray=1.0)).apply(np.random.default_rng(0), flat(0.5, stray=stray))
    assert (result[:, :50] == 0).all() and (result[:, 50:] > 0).all()


def test_dropout_has_the_stated_probability():
    result = Scanner(Optics(dropout=0.05)).apply(np.random.default_rng(0), flat(0.5))
    assert (result == 0).mean() == pytest.approx(0.05, abs=0.01)


def test_smoothing_leaves_planes_alone_and_rounds_steps():
    scene = flat(0.5)
    scene.depth_m[:, 80:] = 0.502
    result = Scanner(smoothing_px=2, smoothing_m=0.01, quantum_m=0.0).apply(np.random.default_rng(0), scene)
    np.testing.assert_allclose(result[:, :75], 0.5, atol=1e-6)
    assert 0.5002 < result[60, 79] < 0.5018


@pytest.mark.parametrize("azimuth_rad", [0.0, np.pi / 2, np.pi, -np.pi / 2])
def test_the_shadow_falls_away_from_the_projector(parts, azimuth_rad):
    """A block over a table, seen from straight above: holes on the far side of the block only."""
    T_cam_world = inverse(look_at(np.array([0, 0, 0.4]), np.zeros(3)))
    T_world_obj = np.eye(4)[None].copy()
    T_world_obj[0, 2, 3] = 0.06
    renderer, T_cam_obj = Renderer([parts["block"].mesh]), T_cam_world @ T_world_obj
    smooth = SmoothMeshes([parts["block"].mesh], [parts["block"].corner_normals])
    ids = np.zeros(1, int)
    surfaces = gbuffer(renderer.scene(ids, T_cam_obj, CAMERA), smooth, ids, T_cam_obj, CAMERA, T_cam_world, Table())
    optics = Optics(baseline_m=0.15, azimuth_rad=azimuth_rad, shadow=True)
    lamp = Lamp(optics.projector_m(T_cam_world), np.ones(3), 0.4)
    lit = shadow(lamp, np.zeros(3), renderer, ids, T_world_obj, surfaces, CAMERA, T_cam_world)
    scene = SensorInput(surfaces.depth_m, surfaces.normals, CAMERA, projector_lit=lit)
    rows, columns = np.nonzero(Scanner(optics).apply(np.random.default_rng(0), scene) == 0)
    toward = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad)])
    away = -(np.stack([columns - CAMERA.cx, rows - CAMERA.cy], -1) @ toward)
    assert len(rows) > 50
    assert away.mean() > 5 and (away > 0).mean() > 0.9


def test_nonsense_is_refused():
    with pytest.raises(BinposeError, match="edge_drop"):
        Scanner(edge_drop=1.5)
    with pytest.raises(BinposeError, match="noise"):
        Scanner(noise_m=float("nan"))
    with pytest.raises(BinposeError, match="weakest"):
        Optics(weakest=3.0, strongest=2.0)
