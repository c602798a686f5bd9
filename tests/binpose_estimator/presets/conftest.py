"""Gradient descent on a handful of crops, in seconds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import rotation_angle_rad
from binpose_core.learning.loop_config import LoopConfig
from binpose_estimator import EstimatorConfig, PoseTrainingConfig, Preset
from binpose_estimator.crop_pool import crop_pool
from binpose_estimator.crops import network_input
from binpose_estimator.losses import PoseTargets, equivalent_poses, part_tables

NAMES = ("block", "rod", "bracket")
Errors = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def overfit(views, objects) -> Callable[[Preset, int], Errors]:
    """(preset, steps) -> errors of the best pose of a rod and two brackets, in degrees and diameters."""

    def run(preset: Preset, steps: int) -> Errors:
        config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)
        training = PoseTrainingConfig(LoopConfig(steps=1), wrong_share=0.0)
        pool = crop_pool(views[:1], objects, config, training, seed=0)
        pool = pool.take(np.flatnonzero(pool.classes > 0))
        inputs, parts = network_input(pool.crops), [objects[name] for name in NAMES]
        classes, rotation, center = (torch.from_numpy(v) for v in (pool.classes, pool.rotation, pool.center))
        batch, empty = len(classes), torch.zeros(len(classes), 16, 16, dtype=torch.bool)
        assert batch == 3
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
        turns = [np.rad2deg(rotation_angle_rad(truth.rotation[b].numpy(), poses.rotation[b, 0])) for b in range(batch)]
        angles = np.array([turn[truth.valid[b]].min() for b, turn in enumerate(turns)])
        return angles, np.linalg.norm(poses.center[:, 0] - pool.center, axis=1)

    return run
