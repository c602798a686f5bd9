"""Training of the pose network from labelled views."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.precision import channels_last
from binpose_core.frames.types import LabelledView
from binpose_core.geometry.transforms import FloatArray
from binpose_core.learning.hooks import Hook
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.row_tuning import RowTuning
from binpose_core.learning.training_loop import train
from binpose_core.learning.weights import inherit, read_progress, to_arrays
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crop_pool import CropPool, Detect, crop_pool
from binpose_estimator.crops import QUARTER_TURN, TRUTH, CropInputs, network_input
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator, build_network
from binpose_estimator.head import at_cells
from binpose_estimator.losses import PoseTargets
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import JointNetwork, Objective, PoseBatch
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
    objective: Objective | None = None,
    only_new_rows: bool = False,
) -> PoseEstimator:
    """A pose estimator for `estimator_config.objects`, trained until the budget is spent.

    `track` may wrap the passes over the views with a progress bar. `start` is an estimator, of any parts, whose weights
    the training begins with. With `detect`, the detector that the estimator will work with, it learns from that one's
    masks, centres and mistakes too. `hooks` are the training loop's, whose minutes include the cutting of crops.
    `device` is where it runs, cpu or cuda. `objective` replaces the preset's loss; weights of its own are optimised
    together with the network's. With `only_new_rows`, what the start has learnt stays bit for bit: only the rows of
    parts that it does not know are trained, on crops that it is asked for these parts at.

    Raises:
        BinposeError: if no view shows enough of any part, or the start has another architecture; with
            `only_new_rows`, if there is no start, no new part, or the preset has no rows for it.
    """
    torch.manual_seed(seed)
    began = time.monotonic()
    trained = checkpoint is not None and read_progress(checkpoint).fraction >= 1.0  # needs no crops any more
    pool = None if trained else crop_pool(views, objects, estimator_config, config, seed, track, detect)
    network = build_network(estimator_config)
    if start is not None:
        known, wanted = (network.part_rows(names) for names in (start.config.objects, estimator_config.objects))
        inherit(network, to_arrays(start.network), known, wanted)
    if only_new_rows:
        hooks = [row_tuning(network, start, estimator_config), *hooks]
        pool = pool and _pool_of_new_parts(pool, start, estimator_config)

    def batch(number: int) -> PoseBatch:
        assert pool is not None
        return sample_batch(pool, config, np.random.default_rng((seed, number)))

    if objective is None:
        parts = [objects[name] for name in estimator_config.objects]
        objective = estimator_config.preset.objective(parts, torch.device(device))
    network, objective = channels_last(network.to(device)), objective.to(device)
    loop = config.loop.without(time.monotonic() - began)
    return PoseEstimator(
        _trained(network, objective, batch, loop, checkpoint, hooks), estimator_config, objects, device
    )


def row_tuning(network: PoseNetwork, start: PoseEstimator | None, config: EstimatorConfig) -> RowTuning:
    """The hook that trains the rows of a network whose parts the start does not know, and nothing else.

    Raises:
        BinposeError: without a start, without a new part, and for a preset without rows of parts.
    """
    known = start.config.objects if start is not None else ()
    if start is None or replace(start.config, objects=config.objects) != config or set(config.objects) <= set(known):
        raise BinposeError(
            f"Only new rows are trained, for {', '.join(config.objects)} from a model of "
            f"{', '.join(known) or 'no part'}; expected a model with the same settings, and a part that it does not "
            "know; train all weights instead, without --only-new-rows."
        )
    if not network.part_rows(config.objects):
        raise BinposeError(
            f"The preset {config.preset.name!r} has no weights that belong to one part; expected one with a "
            "conditioning; train all weights instead, without --only-new-rows."
        )
    return RowTuning(network, network.part_rows(known), network.part_rows(config.objects))


def _pool_of_new_parts(pool: CropPool, start: PoseEstimator | None, config: EstimatorConfig) -> CropPool:
    known = start.config.objects if start is not None else ()
    new = [number for number, name in enumerate(config.objects) if name not in known]
    asked = np.flatnonzero(np.isin(pool.classes, new))
    if not (pool.matches[asked]).any():
        names = ", ".join(config.objects[number] for number in new)
        raise BinposeError(
            f"None of the views shows enough of {names} to learn poses from; expected some; simulate more views."
        )
    return pool.take(asked)


def _trained(
    network: PoseNetwork,
    objective: Objective,
    batch: Callable[[int], PoseBatch],
    loop: LoopConfig,
    checkpoint: Path | None,
    hooks: Sequence[Hook],
) -> PoseNetwork:
    """The averaged network; an objective that has weights is optimised with it and kept in the same checkpoint."""
    if not any(weight.requires_grad for weight in objective.parameters()):
        return train(network, batch, objective, loop, checkpoint, hooks)
    joint = JointNetwork(network, objective)
    averaged = train(joint, batch, lambda model, batch: model(batch), loop, checkpoint, hooks)
    return cast(PoseNetwork, averaged.network)


def batch_index(pool: CropPool, config: PoseTrainingConfig, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(B,) the crops of a batch, with every part type equally likely; nothing else decides which crops are learnt."""
    return rng.choice(len(pool.classes), config.batch_size, p=_likelihood(pool, config.wrong_share))


def sample_batch(pool: CropPool, config: PoseTrainingConfig, rng: np.random.Generator) -> PoseBatch:
    """A batch of `batch_index`, turned by quarters, with masks as detections have them."""
    index = batch_index(pool, config, rng)
    turns = int(rng.integers(4))
    crops = pool.crops[index].turned(turns)
    inputs = network_input(crops)
    turn = torch.from_numpy(np.linalg.matrix_power(QUARTER_TURN, turns))
    rotation, center = turn @ torch.from_numpy(pool.rotation[index]), torch.from_numpy(pool.center[index]) @ turn.T
    true_mask = torch.from_numpy((crops.flags & TRUTH) > 0)
    _augment(inputs, true_mask, ~pool.detected[index], config.damaged_masks, rng)
    points, covered = _object_coordinates(inputs, true_mask, rotation, center)
    classes, matches, weight = (torch.from_numpy(v[index]) for v in (pool.classes, pool.matches, pool.weight))
    targets = PoseTargets(classes, rotation, center, points, covered, matches, weight)
    return replace(inputs, x=inputs.x.to(memory_format=torch.channels_last)), targets


def _augment(
    inputs: CropInputs,
    true_mask: torch.Tensor,
    with_true_masks: npt.NDArray[np.bool_],
    damaged_share: float,
    rng: np.random.Generator,
) -> None:
    """Damage the masks that are not a detector's, and leave out the brightness of a batch now and then; in place."""
    drawn = np.flatnonzero(with_true_masks)
    damaged = torch.from_numpy(_damaged(true_mask[drawn].numpy(), damaged_share, rng))
    lit = float(rng.random() > 0.1)
    if "mask" in inputs.content.names:
        inputs["mask"][drawn, 0] = damaged
    if "luma" in inputs.content.names:
        inputs["luma"].mul_(lit)


def _object_coordinates(
    inputs: CropInputs, true_mask: torch.Tensor, rotation: torch.Tensor, center: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates (B, 3, h, w) of the observed points at the cells, and where (B, h, w) they are on the part.

    Nowhere where the crops carry no points.
    """
    covered = at_cells(true_mask)
    if "points" not in inputs.content.names:
        return torch.zeros(len(inputs), 3, *covered.shape[1:]), torch.zeros_like(covered)
    observed = at_cells(inputs["points"])
    points = torch.einsum("bji,bjhw->bihw", rotation, observed - center[..., None, None])
    valid = at_cells(inputs["valid"])[:, 0] > 0
    return points, covered & valid & (points.norm(dim=1) < 0.6)


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
