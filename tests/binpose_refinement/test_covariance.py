"""The covariance told with a pose against the spread of poses over draws of the noise."""

import cv2
import numpy as np
import pytest

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, log_so3
from binpose_simulation.sensor_noise import smooth_field

from .conftest import detection, draw, guesses, perturbed

CAREFUL = 6.0
"""The told deviations are at most so many times the spread, and never below it.

The spread comes close to the told deviation where only depth gives a direction. The rest comes from the contour, whose
pixels err independently here.
"""
CORRELATED, CORRELATION_PX = 0.35, 5.7
"""Fraction of the noise that is common to neighbouring pixels, and over how many; in the middle of the simulated
sensors' (`binpose_simulation.sensor`)."""
DRAWS = 16
TRUTH = from_rotation_translation(exp_so3(np.array([0.4, 0.3, -0.8])), np.array([0.02, -0.01, 0.6]))


def frayed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (H, W) whose border is off by about a pixel, as a detector's is."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    distance -= cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    noise = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), 1.5)
    return distance + noise / noise.std() > 0


def border(mask: np.ndarray) -> np.ndarray:
    """The pixels beside the border of a mask (H, W), where sensors measure nothing."""
    around = np.ones((5, 5), np.uint8)
    return (cv2.dilate(mask.astype(np.uint8), around) > 0) & (cv2.erode(mask.astype(np.uint8), around) == 0)


def sensor_noise(rng: np.random.Generator, height: int, width: int, noise_m: float) -> np.ndarray:
    """Depth noise (H, W) in metres, in part common to neighbouring pixels as in the middle of the simulated sensors."""
    own, common = rng.normal(size=(height, width)), smooth_field(rng, height, width, CORRELATION_PX)
    return noise_m * (np.sqrt(1 - CORRELATED) * own + np.sqrt(CORRELATED) * common)


def sample(parts, refiner, truth, noise_m: float, draws: int, contour: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Deviations (N, 6) from the truth, and covariances (N, 6, 6).

    Without `contour`, depth is there beside the mask's border, and the mask is exact: only depth gives the pose.
    """
    off = perturbed(np.random.default_rng(0), parts["cleat"], truth, 3.0, 0.03)
    deviations, covariances = [], []
    for seed in range(draws):
        scene = draw(parts, ["cleat"], [truth], noise_m=0.0, dropout=0.0, seed=seed)
        rng, mask, depth_m = np.random.default_rng(seed), scene.instance_ids == 0, scene.frame.depth_m
        depth_m += sensor_noise(rng, *depth_m.shape, noise_m).astype(np.float32)
        if contour:
            depth_m[border(mask)] = 0.0
            scene.detections[:] = [detection("cleat", frayed(mask, rng))]
        guess = guesses(("cleat", off, 0.9), index=0)
        (estimate,) = refiner(scene.frame, scene.detections, [guess])
        shift = estimate.T_cam_obj[:3, 3] - truth[:3, 3]
        deviations.append([*shift, *log_so3(estimate.T_cam_obj[:3, :3] @ truth[:3, :3].T)])
        covariances.append(estimate.covariance)
    return np.array(deviations), np.array(covariances)


@pytest.mark.parametrize("turn", [(0.4, 0.3, -0.8), (2.4, -0.5, 0.3)])
def test_the_covariance_is_the_spread_over_draws_of_the_noise(parts, refiner, turn) -> None:
    """In each of its six own directions the told deviation is the measured one, up to the stated factor."""
    truth = from_rotation_translation(exp_so3(np.array(turn)), TRUTH[:3, 3])
    deviations, covariances = sample(parts, refiner.using("render_and_compare"), truth, 0.001, DRAWS)
    values, directions = np.linalg.eigh(covariances.mean(axis=0))
    ratio = np.sqrt(values) / (deviations @ directions).std(axis=0)
    assert ratio.min() > 1.0 and ratio.max() < CAREFUL
    assert np.abs(covariances - covariances.swapaxes(1, 2)).max() <= 1e-12 * np.abs(covariances).max()


@pytest.mark.parametrize(
    ("method", "contour", "least"), [("icp", False, 1.7), ("icp", True, 1.1), ("render_and_compare", True, 1.1)]
)
def test_twice_the_noise_gives_up_to_twice_the_deviation(parts, refiner, method, contour, least) -> None:
    """Twice where depth alone gives the pose; less where the contour does, as noise does not change its place."""
    low, high = (
        sample(parts, refiner.using(method), TRUTH, noise_m, 3, contour)[1].mean(0) for noise_m in (0.0008, 0.0016)
    )
    ratio = np.sqrt(np.linalg.eigvalsh(high) / np.linalg.eigvalsh(low))
    assert least < ratio.min() and ratio.max() < 2.6


def test_no_direction_is_told_better_than_it_is_known(parts, refiner) -> None:
    """ICP's covariance too is never narrower than the spread."""
    deviations, covariances = sample(parts, refiner, TRUTH, 0.001, DRAWS)
    values, directions = np.linalg.eigh(covariances.mean(axis=0))
    assert (np.sqrt(values) > (deviations @ directions).std(axis=0)).all()
    assert np.abs(covariances - covariances.swapaxes(1, 2)).max() <= 1e-12 * np.abs(covariances).max()
