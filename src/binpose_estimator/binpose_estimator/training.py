"""Training of the pose network from labelled views."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray, transform
from binpose_core.precision import channels_last
from binpose_core.training_loop import LoopConfig, StepCallback, prefetched, train
from binpose_core.types import LabelledView
from binpose_core.weights import inherit, to_arrays
from binpose_core.working_view import WorkingView, make_working_view
from binpose_estimator.crops import QUARTER_TURN, Crops, concatenate, extract_crops, network_input
from binpose_estimator.estimator import CELL, EstimatorConfig, PoseEstimator
from binpose_estimator.losses import PartTables, PoseTargets, part_tables, pose_loss
from binpose_estimator.network import PoseNetwork

JITTER_FREEDOM = 4


@dataclass(frozen=True)
class PoseTrainingConfig:
    """What the crops of a training are and what a batch is made of.

    batch_size: crops per step. variants: crops cut per instance and view, each with another centre and roll.
    max_crops: how many are kept in memory, about 33 kB each.
    center_jitter: how far the crop's centre is from the part's, in diameters, across and along the line of sight, as
        detections have it: scales of Student's t distribution, whose tails are theirs.
    gsd_jitter: factor range of the ground sample distance of a view, which real views do not have exactly either.
    least_visible, least_visible_px: parts less visible, as a share or in pixels of the frame, are left out.
    damaged_masks: share of crops whose mask is damaged as detections' masks are.
    wrong_share: share of a batch that shows another part than the network is asked for, as wrong detections do.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=10.0, learning_rate=1.5e-3))
    batch_size: int = 96
    variants: int = 1
    max_crops: int = 80_000
    center_jitter: tuple[float, float] = (0.045, 0.07)
    gsd_jitter: tuple[float, float] = (0.8, 1.25)
    least_visible: float = 0.15
    least_visible_px: int = 40
    damaged_masks: float = 0.7
    wrong_share: float = 0.3

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.variants < 1:
            raise BinposeError(f"batch_size must be >= 2 and variants >= 1, got {self.batch_size} and {self.variants}.")


@dataclass(frozen=True)
class CropPool:
    """Training crops with the truth.

    classes: (N,) int64, what the network is asked for. matches: (N,) whether the crop shows that.
    rotation: (N, 3, 3), center: (N, 3) in the crop's frame, in diameters from the crop's centre; float32.
    """

    crops: Crops
    classes: npt.NDArray[np.int64]
    matches: npt.NDArray[np.bool_]
    rotation: FloatArray
    center: FloatArray


def train_estimator(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_step: StepCallback | None = None,
    track: Callable[[Sequence[LabelledView]], Iterable[LabelledView]] = iter,
    start: PoseEstimator | None = None,
) -> PoseEstimator:
    """A pose estimator for `estimator_config.objects`, trained until the budget is spent.

    `track` may wrap the passes over the views with a progress bar. `start` is an estimator, of any parts, whose weights
    the training begins with.

    Raises:
        BinposeError: if no view shows enough of any part, or the start has another architecture.
    """
    torch.manual_seed(seed)
    pool = crop_pool(views, objects, estimator_config, config, seed, track)
    tables = part_tables([objects[name] for name in estimator_config.objects])
    network = PoseNetwork(len(estimator_config.objects), estimator_config.widths, estimator_config.hypotheses)
    if start is not None:
        known, wanted = (network.part_rows(names) for names in (start.config.objects, estimator_config.objects))
        inherit(network, to_arrays(start.network), known, wanted)

    def batch(number: int) -> tuple[torch.Tensor, PoseTargets]:
        return sample_batch(pool, config, np.random.default_rng((seed, number)))

    def loss(model: torch.nn.Module, batch: tuple[torch.Tensor, PoseTargets]) -> dict[str, torch.Tensor]:
        return _loss(model, batch, tables)

    averaged = train(channels_last(network), batch, loss, config.loop, checkpoint, on_step)
    return PoseEstimator(averaged, estimator_config, objects)


def _loss(
    network: torch.nn.Module, batch: tuple[torch.Tensor, PoseTargets], tables: PartTables
) -> dict[str, torch.Tensor]:
    crops, targets = batch
    prediction = network(crops, targets.classes)
    with torch.autocast("cpu", enabled=False):
        return pose_loss(prediction, targets, tables)


def crop_pool(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    seed: int,
    track: Callable[[Sequence[LabelledView]], Iterable[LabelledView]] = iter,
) -> CropPool:
    """Crops of the well visible parts of the views in random order, `variants` times each, at most about `max_crops`.

    Raises:
        BinposeError: if there is none.
    """
    order = np.random.default_rng((seed, 1)).permutation(len(views))

    def cut(number: int) -> list[CropPool]:
        index = int(order[number % len(order)])
        return _view_pools(views[index], objects, estimator_config, config, np.random.default_rng((seed, 2, index)))

    pools: list[CropPool] = []
    with contextlib.closing(prefetched(cut)) as cuts:
        for _ in track(views):
            pools += next(cuts)
            if sum(len(pool.classes) for pool in pools) >= config.max_crops:
                break
    if not pools:
        raise BinposeError(
            f"None of {len(views)} views shows enough of {', '.join(estimator_config.objects)} to learn poses from; "
            f"expected at least {config.least_visible_px} pixels of a part; simulate more or nearer views."
        )
    return CropPool(
        concatenate([p.crops for p in pools]),
        np.concatenate([p.classes for p in pools]),
        np.concatenate([p.matches for p in pools]),
        np.concatenate([p.rotation for p in pools]),
        np.concatenate([p.center for p in pools]),
    )


def _view_pools(
    view: LabelledView,
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
) -> list[CropPool]:
    known = np.array([name in estimator_config.objects for name in view.object_ids], bool)
    pixels = np.bincount(view.instance_ids[view.instance_ids >= 0].astype(np.int64), minlength=len(known))
    chosen = known & (view.visible_fraction >= config.least_visible) & (pixels >= config.least_visible_px)
    instances = np.nonzero(chosen)[0].astype(np.int32)
    if len(instances) == 0:
        return []
    gsd_m = estimator_config.gsd_m * rng.uniform(*config.gsd_jitter)
    working = make_working_view(view.frame, gsd_m, 2 * estimator_config.max_pixels)
    return [
        _view_pool(view, working, instances, objects, estimator_config, config, rng) for _ in range(config.variants)
    ]


def _view_pool(
    view: LabelledView,
    working: WorkingView,
    instances: npt.NDArray[np.int32],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
) -> CropPool:
    instances, asked = _asked(view, instances, estimator_config, config, rng)
    parts = [objects[view.object_ids[i]] for i in instances]
    matches = np.array([part.id == name for part, name in zip(parts, asked, strict=True)])
    poses = view.T_cam_obj[instances]
    true_centers = np.array([transform(T, p.center_m[None])[0] for T, p in zip(poses, parts, strict=True)])
    across, along = config.center_jitter
    jitter = rng.standard_t(JITTER_FREEDOM, true_centers.shape).clip(-4, 4) * [across, across, along]
    centers = true_centers + jitter * np.array([[part.diameter_m] for part in parts])
    diameters = np.array([objects[name].diameter_m for name in asked])
    luma = cv2.cvtColor(working.color, cv2.COLOR_RGB2GRAY)
    labels = _working_labels(view.instance_ids, working)
    roll = rng.uniform(-np.pi, np.pi, len(instances))
    crops = extract_crops(working, luma, labels, instances, centers, diameters, roll)
    R_crop_cam = np.swapaxes(crops.R_cam_crop, -1, -2)
    distance = np.linalg.norm(centers, axis=-1)
    local = (R_crop_cam @ true_centers[..., None])[..., 0]
    local[:, 2] -= distance
    return CropPool(
        crops,
        np.array([estimator_config.objects.index(name) for name in asked], np.int64),
        matches,
        (R_crop_cam @ poses[:, :3, :3]).astype(np.float32),
        (local / diameters[:, None]).astype(np.float32),
    )


def _asked(
    view: LabelledView,
    instances: npt.NDArray[np.int32],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """The instances, some of them twice, and for which part the network is asked at each: mostly what they are."""
    asked = [view.object_ids[i] for i in instances]
    again = instances[rng.random(len(instances)) < config.wrong_share]
    wrong = [rng.choice([n for n in estimator_config.objects if n != view.object_ids[i]] or [""]) for i in again]
    if "" in wrong:  # one part alone cannot be taken for another
        return instances, asked
    return np.concatenate([instances, again]), [*asked, *map(str, wrong)]


def _working_labels(instance_ids: npt.NDArray[np.integer], working: WorkingView) -> npt.NDArray[np.int32]:
    columns, rows = working.frame_indices()
    columns, rows = columns[columns < instance_ids.shape[1]], rows[rows < instance_ids.shape[0]]
    labels = np.full(working.depth_m.shape, -1, np.int32)
    labels[: len(rows), : len(columns)] = instance_ids[np.ix_(rows, columns)]
    return labels


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
    true_mask = x[:, 4] > 0
    x[:, 4] = torch.from_numpy(_damaged(true_mask.numpy(), config.damaged_masks, rng))
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
