"""Training of the pose network from labelled views."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.precision import channels_last
from binpose_core.frames.types import LabelledView
from binpose_core.geometry.transforms import FloatArray
from binpose_core.learning.batches import on_device
from binpose_core.learning.hooks import Hook
from binpose_core.learning.training_loop import train
from binpose_core.learning.weights import inherit, read_progress, to_arrays
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crop_pool import CropPool, Detect, crop_pool
from binpose_estimator.crops import QUARTER_TURN, TRUTH, network_input
from binpose_estimator.estimator import CELL, EstimatorConfig, PoseEstimator
from binpose_estimator.losses import PartTables, PoseTargets, part_tables, pose_loss
from binpose_estimator.network import PoseNetwork
from binpose_estimator.training_config import PoseTrainingConfig


def train_estimator(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    seed: int,
    checkpoint: Path | None = None,
    hooks: Sequence[Hook] = (),
    track: Callable[[Sequence[LabelledView]], Iterable[LabelledView]] = iter,
    start: PoseEstimator | None = None,
    detect: Detect | None = None,
    device: str = "cpu",
) -> PoseEstimator:
    """A pose estimator for `estimator_config.objects`, trained until the budget is spent.

    `track` may wrap the passes over the views with a progress bar. `start` is an estimator, of any parts, whose weights
    the training begins with. With `detect`, the detector that the estimator will work with, it learns from that one's
    masks, centres and mistakes too. `hooks` are the training loop's, whose minutes include the cutting of crops.
    `device` is where it runs, cpu or cuda.

    Raises:
        BinposeError: if no view shows enough of any part, or the start has another architecture.
    """
    torch.manual_seed(seed)
    began = time.monotonic()
    trained = checkpoint is not None and read_progress(checkpoint).fraction >= 1.0  # needs no crops any more
    pool = None if trained else crop_pool(views, objects, estimator_config, config, seed, track, detect)
    tables = on_device(part_tables([objects[name] for name in estimator_config.objects]), torch.device(device))
    network = PoseNetwork(len(estimator_config.objects), estimator_config.widths, estimator_config.hypotheses)
    if start is not None:
        known, wanted = (network.part_rows(names) for names in (start.config.objects, estimator_config.objects))
        inherit(network, to_arrays(start.network), known, wanted)

    def batch(number: int) -> tuple[torch.Tensor, PoseTargets]:
        assert pool is not None
        return sample_batch(pool, config, np.random.default_rng((seed, number)))

    def loss(model: torch.nn.Module, batch: tuple[torch.Tensor, PoseTargets]) -> dict[str, torch.Tensor]:
        return _loss(model, batch, tables)

    loop = config.loop.without(time.monotonic() - began)
    averaged = train(channels_last(network.to(device)), batch, loss, loop, checkpoint, hooks)
    return PoseEstimator(averaged, estimator_config, objects, device)


def _loss(
    network: torch.nn.Module, batch: tuple[torch.Tensor, PoseTargets], tables: PartTables
) -> dict[str, torch.Tensor]:
    crops, targets = batch
    prediction = network(crops, targets.classes)
    with torch.autocast(crops.device.type, enabled=False):
        return pose_loss(prediction, targets, tables)


def sample_batch(
    pool: CropPool, config: PoseTrainingConfig, rng: np.random.Generator
) -> tuple[torch.Tensor, PoseTargets]:
    """A batch with every part type equally likely, turned by quarters, with masks as detections have them."""
    index = rng.choice(len(pool.classes), config.batch_size, p=_likelihood(pool, config.wrong_share))
    turns = int(rng.integers(4))
    crops = pool.crops[index].turned(turns)
    x = network_input(crops)
    turn = torch.from_numpy(np.linalg.matrix_power(QUARTER_TURN, turns))
    rotation, center = turn @ torch.from_numpy(pool.rotation[index]), torch.from_numpy(pool.center[index]) @ turn.T
    true_mask = torch.from_numpy((crops.flags & TRUTH) > 0)
    drawn = np.flatnonzero(~pool.detected[index])
    x[drawn, 4] = torch.from_numpy(_damaged(true_mask[drawn].numpy(), config.damaged_masks, rng))
    x[:, 5] *= float(rng.random() > 0.1)
    observed = x[:, :3, CELL // 2 :: CELL, CELL // 2 :: CELL]
    covered = ((x[:, 3] > 0) & true_mask)[:, CELL // 2 :: CELL, CELL // 2 :: CELL]
    points = torch.einsum("bji,bjhw->bihw", rotation, observed - center[..., None, None])
    covered &= points.norm(dim=1) < 0.6
    classes, matches = (torch.from_numpy(values[index]) for values in (pool.classes, pool.matches))
    targets = PoseTargets(classes, rotation, center, points, covered, matches)
    return x.to(memory_format=torch.channels_last), targets


def _likelihood(pool: CropPool, wrong_share: float) -> FloatArray:
    """(N,) with which a crop is drawn: all classes alike, and so many of them wrongly asked for."""
    weight = np.zeros(len(pool.classes))
    for kind, share in ((pool.matches, 1.0 - wrong_share), (~pool.matches, wrong_share)):
        if kind.any():
            each = 1.0 / np.bincount(pool.classes[kind])[pool.classes[kind]]
            weight[kind] = share * each / each.sum()
    return weight / weight.sum()


def _damaged(masks: npt.NDArray[np.bool_], share: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Masks (B, n, n) as a segmentation would give them: grown, shrunk, cut off or with a bite taken out."""
    damaged = masks.astype(np.uint8)
    n = masks.shape[-1]
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1) - 0.5 * (n - 1)
    for mask, whole in zip(damaged, masks, strict=True):
        if rng.random() > share:
            continue
        kind = rng.integers(4)
        if kind == 0:
            mask[:] = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 3)))
        elif kind == 1:
            mask[:] = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 3)))
        elif kind == 2:
            angle = rng.uniform(0, 2 * np.pi)
            mask[grid @ [np.cos(angle), np.sin(angle)] > rng.uniform(0.1, 0.4) * n] = 0
        else:
            center, radius = rng.uniform(-0.4, 0.4, 2) * n, rng.uniform(0.06, 0.2) * n
            inside = ((grid - center) ** 2).sum(-1) < radius**2
            mask[inside] = rng.integers(2)
        if not mask.any():
            mask[:] = whole  # what is detected has a mask
    return damaged.astype(np.float32)
