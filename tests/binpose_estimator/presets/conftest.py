"""Gradient descent on a handful of crops, in seconds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import rotation_angle_rad
from binpose_core.learning.loop_config import LoopConfig
from binpose_estimator import EstimatorConfig, PoseTrainingConfig, Preset
from binpose_estimator.crop_pool import crop_pool
from binpose_estimator.crops import network_input
from binpose_estimator.losses import EquivalentPoses, PoseTargets, equivalent_poses, part_tables

NAMES = ("block", "rod", "bracket")


class Errors(NamedTuple):
    """Of the best poses of crops: their parts, degrees, and diameters of the centre."""

    parts: np.ndarray
    angles_deg: np.ndarray
    diameters: np.ndarray

    def of(self, part: str) -> "Errors":
        """Those of one part."""
        return Errors(*(values[self.parts == part] for values in self))


@pytest.fixture(scope="session")
def overfit(views, objects) -> Callable[..., Errors]:
    """(preset, steps, parts) -> errors of the best poses of two blocks, a rod and two brackets, as far as asked for.

    Each is compared with the nearest of the equivalent poses: symmetries of the block move its centre.
    """

    def run(preset: Preset, steps: int, shown: tuple[str, ...] = NAMES) -> Errors:
        config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)
        training = PoseTrainingConfig(LoopConfig(steps=1), wrong_share=0.0)
        pool = crop_pool(views[:1], objects, config, training, seed=0)
        pool = pool.take(np.flatnonzero(np.isin(np.array(NAMES)[pool.classes], shown)))
        inputs, parts = network_input(pool.crops), [objects[name] for name in NAMES]
        classes, rotation, center = (torch.from_numpy(v) for v in (pool.classes, pool.rotation, pool.center))
        batch, empty = len(classes), torch.zeros(len(classes), 16, 16, dtype=torch.bool)
        known, points = torch.ones(batch, dtype=torch.bool), torch.zeros(batch, 3, 16, 16)
        targets = PoseTargets(classes, rotation, center, points, empty, known, torch.ones(batch))
        torch.manual_seed(0)
        network, loss = preset.network(3), preset.loss(parts, torch.device("cpu"))
        optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        for _ in range(steps):
            optimizer.zero_grad()
            sum(loss(network(inputs.x, classes), inputs, targets).values()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            poses = network.eval().decode(network(inputs.x, classes), inputs, [parts[c] for c in classes])
        truth = equivalent_poses(targets, part_tables(parts))
        found = [nearest_error(truth, b, poses.rotation[b, 0], poses.center[b, 0]) for b in range(batch)]
        return Errors(np.array(NAMES)[pool.classes], *np.transpose(found))

    return run


def nearest_error(truth: EquivalentPoses, crop: int, rotation: np.ndarray, center: np.ndarray) -> tuple[float, float]:
    """Degrees and diameters from a crop's pose to the nearest of the equivalent ones."""
    valid = truth.valid[crop].numpy()
    turns = rotation_angle_rad(truth.rotation[crop].numpy()[valid], rotation)
    moves = np.linalg.norm(truth.center[crop].numpy()[valid] - center, axis=1)
    nearest = np.argmin(0.5 * turns + moves)
    return float(np.rad2deg(turns[nearest])), float(moves[nearest])
