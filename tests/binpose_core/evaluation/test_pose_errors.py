"""The fast errors agree with the readable ones, and bounds never cut off what counts."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation import metrics
from binpose_core.evaluation.pose_errors import ERROR_NAMES, PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import make_object
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries

CAMERA = Camera(600.0, 600.0, 320.0, 240.0, 640, 480)


@pytest.fixture(params=["bracket", "bar", "disc"])
def model(request):
    return request.getfixturevalue(request.param)


def poses(rng, count, spread_m=0.02):
    return from_rotation_translation(random_rotation(rng, (count,)), rng.normal([0, 0, 0.5], spread_m, (count, 3)))


def test_matrices_agree_with_the_definitions(model, rng):
    est, gt, part = poses(rng, 3), poses(rng, 4), PartErrors(model)
    symmetries = model.symmetries.transforms(0.02)
    expected = {
        "add": lambda a, b: metrics.add(a, b, model.points),
        "adi": lambda a, b: metrics.adi(a, b, model.points),
        "mssd": lambda a, b: metrics.mssd(a, b, model.mesh.vertices, symmetries),
        "add_s": lambda a, b: metrics.add_s(a, b, model.points, symmetric=model.id != "bracket"),
    }
    for name in ERROR_NAMES:
        direct = [[expected[name](a, b) for b in gt] for a in est]
        np.testing.assert_allclose(part.matrix(name, est, gt, np.inf), direct, rtol=1e-5)


def test_what_is_cut_off_exceeds_the_limit(model, rng):
    est = poses(rng, 4)
    nudge = from_rotation_translation(exp_so3(rng.normal(0, 0.1, (4, 3))), rng.normal(0, 0.003, (4, 3)))
    gt, part = est @ nudge, PartErrors(model)
    for name in ERROR_NAMES:
        exact, limit_m = part.matrix(name, est, gt, np.inf), 0.02
        limited = part.matrix(name, est, gt, limit_m)
        assert np.array_equal(limited, np.where(exact <= limit_m, exact, np.inf))
        assert np.isfinite(limited).any() and np.isinf(limited).any()


def test_mspd_agrees_with_the_definition(model, rng):
    part = PartErrors(model)
    for est, gt in zip(poses(rng, 3), poses(rng, 3), strict=True):
        expected = metrics.mspd(est, gt, model.mesh.vertices, model.symmetries.transforms(0.02), CAMERA)
        assert part.mspd(est, gt, CAMERA) == pytest.approx(expected)


def test_a_round_part_may_be_turned_about_its_axis(disc):
    pose = from_rotation_translation(exp_so3(np.array([0.3, 0.2, 0.1])), np.array([0, 0, 0.5]))
    turned = pose @ from_rotation_translation(exp_so3(np.array([0, 0, 1.2345])), np.zeros(3))
    part = PartErrors(disc)
    # Half of BOP's step of 0.02 rad at a radius of 20 mm is 0.2 mm, half a percent of the diameter.
    assert part.error("mssd", turned, pose) <= 0.0002
    assert part.error("add_s", turned, pose) < part.error("add", turned, pose) / 10
    assert part.mspd(turned, pose, CAMERA) < 0.3


def test_any_turn_of_a_ball_is_right():
    center = np.array([0.003, -0.001, 0.002])
    sphere = trimesh.creation.icosphere(3, 0.01).apply_translation(center)
    mesh = Mesh(np.asarray(sphere.vertices, np.float32), np.asarray(sphere.faces, np.int32))
    lines = tuple(ContinuousSymmetry(axis, center) for axis in np.eye(3)[:2])
    part = PartErrors(make_object(mesh, "ball", 1, Symmetries(np.eye(4)[None], lines, np.zeros((0, 4, 4)))))
    rng = np.random.default_rng(0)
    for _ in range(5):
        turns = random_rotation(rng), random_rotation(rng)
        pose, turned = (from_rotation_translation(turn, [0, 0, 0.5] - turn @ center) for turn in turns)
        assert part.error("mssd", turned, pose) < 1e-6
        assert part.mspd(turned, pose, CAMERA) < 1e-3
        aside = turned.copy()
        aside[0, 3] += 0.004
        assert part.error("mssd", aside, pose) == pytest.approx(0.004, abs=1e-6)


def test_no_poses_make_an_empty_matrix(bar):
    assert PartErrors(bar).matrix("add", np.zeros((0, 4, 4)), np.eye(4)[None], 1.0).shape == (0, 1)


def test_an_unknown_error_is_refused(bar):
    with pytest.raises(BinposeError, match="No pose error 'iou'; there are: add_s, add, adi, mssd"):
        PartErrors(bar).matrix("iou", np.eye(4)[None], np.eye(4)[None], 1.0)
