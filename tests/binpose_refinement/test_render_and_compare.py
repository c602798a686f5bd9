"""Poses that are off come back, whatever is missing stays finite, and nothing gets worse by its own measure."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_refinement.batch import Batch
from binpose_refinement.observation import observe
from binpose_refinement.render_and_compare import Descent

from .conftest import distance_m, draw, perturbed


@pytest.fixture(scope="module")
def descent(parts) -> Descent:
    return Descent(parts)


def batch_of(parts, scene, T_cam_obj) -> Batch:
    names = list(parts)
    count = len(scene.ids)
    part = np.array([names.index(name) for name in scene.ids], np.int64)
    return Batch(np.arange(count), part, np.asarray(T_cam_obj), np.ones(count))


def errors_m(parts, scene, poses) -> np.ndarray:
    return np.array([distance_m(parts[n], a, b) for n, a, b in zip(scene.ids, poses, scene.T_cam_obj, strict=True)])


def test_poses_that_are_off_come_back(parts, pile, descent: Descent) -> None:
    rng = np.random.default_rng(0)
    off = [perturbed(rng, parts[n], T, 5.0, 0.05) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    observation = observe(pile.frame, pile.detections, 2e-4)
    poses, losses = descent(pile.frame, observation, batch_of(parts, pile, off))
    before, after = errors_m(parts, pile, off), errors_m(parts, pile, poses)
    assert np.median(after) < 0.4e-3 < 2e-3 < np.median(before)
    again, same = descent(pile.frame, observation, batch_of(parts, pile, poses))
    assert (same <= losses + 1e-6).all()
    assert np.median(errors_m(parts, pile, again)) < 0.4e-3


def test_without_noise_the_truth_is_met(parts, descent: Descent) -> None:
    rng = np.random.default_rng(1)
    R = perturbed(rng, parts["cleat"], np.eye(4), 40.0, 0.0)
    truth = R.copy()
    truth[:3, 3] += [0.01, -0.02, 0.6]
    scene = draw(parts, ["cleat"], [truth], noise_m=0.0, dropout=0.0)
    off = perturbed(rng, parts["cleat"], truth, 6.0, 0.05)
    observation = observe(scene.frame, scene.detections, 1e-4)
    poses, _ = descent(scene.frame, observation, batch_of(parts, scene, [off]))
    assert errors_m(parts, scene, poses)[0] < 0.15e-3 < errors_m(parts, scene, [off])[0]


@pytest.mark.parametrize("case", ["one pixel", "no depth", "elsewhere"])
def test_what_cannot_be_refined_stays_finite(parts, pile, descent: Descent, case: str) -> None:
    frame, detections, start = pile.frame, list(pile.detections), pile.T_cam_obj.copy()
    if case == "one pixel":
        detections[0] = replace(detections[0], mask=np.zeros_like(detections[0].mask))
        detections[0].mask[0, 0] = True
    elif case == "no depth":
        frame = replace(frame, depth_m=None)
    else:
        start[0, 0, 3] += 0.3
    poses, losses = descent(frame, observe(frame, detections, 2e-4), batch_of(parts, pile, start))
    assert np.isfinite(poses).all() and np.isfinite(losses).all()
    others = errors_m(parts, pile, poses)[1:]
    assert np.median(others) < (1e-3 if case != "no depth" else 5e-3)
