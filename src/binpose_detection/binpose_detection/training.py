"""Training of the segmentation network from labelled views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.precision import channels_last
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView
from binpose_core.frames.working_view import WorkingView, make_working_view
from binpose_core.geometry.transforms import transform
from binpose_core.learning.hooks import Hook
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.row_tuning import RowTuning
from binpose_core.learning.training_loop import train
from binpose_core.learning.weights import inherit, to_arrays
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.augmentation import (
    AugmentationConfig,
    Labels,
    explain_parts,
    paste_parts,
    recolored,
    with_missing_sense,
)
from binpose_detection.features import view_features
from binpose_detection.losses import segmentation_loss
from binpose_detection.network import OFFSET_UNIT_PX, OUTPUT_STRIDE
from binpose_detection.segmenter import DetectorConfig, SegmenterConfig, VoteSegmenter, build_network, object_classes

LEAST_VISIBLE = 0.03


@dataclass(frozen=True)
class SegmentationTrainingConfig:
    """What a batch is made of.

    views: augmented views per batch. crops: square windows of crop_px pixels (a multiple of 32) cut from each of them:
        a view costs as much to read and augment as a window of it to learn from, and two windows cover most of it.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=10.0, learning_rate=2e-3))
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    views: int = 8
    crops: int = 2
    crop_px: int = 192

    def __post_init__(self) -> None:
        if self.crop_px % 32 or self.crop_px < 64:
            raise BinposeError(f"crop_px must be a multiple of 32 of at least 64, got {self.crop_px}.")
        if self.views < 1 or self.crops < 1:
            raise BinposeError(f"views and crops must be >= 1, got {self.views} and {self.crops}.")


def train_segmenter(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    segmenter_config: SegmenterConfig,
    config: SegmentationTrainingConfig,
    seed: int,
    checkpoint: Path | None = None,
    hooks: Sequence[Hook] = (),
    start: VoteSegmenter | None = None,
    device: str = "cpu",
    only_new_rows: bool = False,
) -> VoteSegmenter:
    """A segmenter for `segmenter_config.objects`, trained on the views until the budget is spent.

    `hooks` are the training loop's. `start` is one, of any parts, whose weights the training begins with; `device` is
    where it runs, cpu or cuda. With `only_new_rows`, the logits of parts that the start knows stay as they are: only
    the outputs of other parts are trained.

    Raises:
        BinposeError: if the start has another architecture; with `only_new_rows`, if there is no start or no new part.
    """
    torch.manual_seed(seed)
    network = build_network(segmenter_config)
    if start is not None:
        known = start.network.part_rows(start.config.objects)
        inherit(network, to_arrays(start.network), known, network.part_rows(segmenter_config.objects))
    if only_new_rows:
        names = start.config.objects if start is not None else ()
        known, wanted = (network.part_rows(objects) for objects in (names, segmenter_config.objects))
        hooks = [RowTuning(network, known, wanted), *hooks]
    network = channels_last(network.to(device))
    sampler = BatchSampler(views, objects, segmenter_config, config, seed)
    return VoteSegmenter(train(network, sampler, _loss, config.loop, checkpoint, hooks), segmenter_config, device)


def _loss(network: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    features, *truth = batch
    logits, centers, affinities = (output.float() for output in network(features))
    return segmentation_loss(logits, centers, affinities, *truth)


class BatchSampler:
    """Batch number -> features (B, 10, s, s) and what `segmentation_loss` takes of cells (B, ..., s/2, s/2).

    These are classes, targets, whether there is depth, and weights.
    """

    def __init__(
        self,
        views: Sequence[LabelledView],
        objects: Mapping[str, ObjectModel],
        segmenter_config: SegmenterConfig,
        config: SegmentationTrainingConfig,
        seed: int,
    ) -> None:
        self.views, self.objects, self.seed = views, objects, seed
        self.segmenter, self.config = segmenter_config, config

    def __call__(self, number: int) -> tuple[torch.Tensor, ...]:
        """The batch with this number, the same on every call."""
        rng = np.random.default_rng((self.seed, number))
        samples = [crop for _ in range(self.config.views) for crop in self.samples(rng)]
        features, classes, targets, valid, weights = (
            torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)
        )
        features, targets, weights = (x.permute(0, 3, 1, 2) for x in (features, targets, weights))  # channels last
        return features, classes, targets, valid, weights

    def samples(self, rng: np.random.Generator) -> list[tuple[npt.NDArray[Any], ...]]:
        """Crops of one augmented view: features (s, s, 10), and per cell (s/2, s/2, ...) as the batches have them."""
        working, labels = augmented_view(self.views, self.objects, self.segmenter, self.config.augmentation, rng)
        features = view_features(working)
        classes, targets, weights = working_targets(labels, working)
        valid = (working.depth_m > 0)[::OUTPUT_STRIDE, ::OUTPUT_STRIDE]
        return [self._crop(features, classes, targets, valid, weights, rng) for _ in range(self.config.crops)]

    def _crop(
        self,
        features: npt.NDArray[np.float32],
        classes: npt.NDArray[np.int64],
        targets: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        weights: npt.NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[Any], ...]:
        """A square window, most often around a part of any type alike, turned by a multiple of 90 degrees."""
        side = self.config.crop_px // OUTPUT_STRIDE
        present = np.unique(classes[classes > 0])
        rows, columns = np.nonzero(classes == rng.choice(present)) if len(present) else ((), ())
        height, width = classes.shape
        if len(rows) and rng.random() < 0.85:
            pick = rng.integers(len(rows))
            corner = np.array([rows[pick], columns[pick]]) - rng.integers(side // 6, side - side // 6, 2)
        else:
            corner = rng.integers(0, np.maximum(1, np.array([height, width]) - side + 1))
        y, x = np.clip(corner, 0, np.maximum(0, np.array([height, width]) - side))
        coarse = slice(y, y + side), slice(x, x + side)
        fine = tuple(slice(s.start * OUTPUT_STRIDE, s.stop * OUTPUT_STRIDE) for s in coarse)
        features = _padded(features[fine], self.config.crop_px, 0)
        classes = _padded(classes[coarse], side, -1)
        targets = _padded(targets[coarse], side, 0)
        valid = _padded(valid[coarse], side, False)
        weights = _padded(weights[coarse], side, 0)
        return _turned(features, classes, targets, valid, weights, int(rng.integers(4)))


def augmented_view(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    detector: DetectorConfig,
    augmentation: AugmentationConfig,
    rng: np.random.Generator,
) -> tuple[WorkingView, Labels]:
    """The working view of one of the views, augmented, and the labels of the frame that it was made from."""
    view = views[int(rng.integers(len(views)))]
    frame, labels = view.frame, view_labels(view, objects, detector.objects)
    erased = None
    if rng.random() < augmentation.paste:
        other = views[int(rng.integers(len(views)))]
        other_labels = view_labels(other, objects, detector.objects)
        frame, labels = paste_parts(frame, labels, other, other_labels, rng, augmentation.max_pasted)
    elif frame.depth_m is not None and rng.random() < augmentation.explained:
        erased, labels = explain_parts(labels, view, rng)
    gsd_m = detector.gsd_m * rng.uniform(*augmentation.gsd_jitter)
    distance = None if frame.depth_m is None else float(np.median(frame.depth_m[frame.depth_m > 0]))
    frame = RgbdFrame(recolored(frame.rgb, rng), frame.depth_m, frame.camera, distance_m=distance)
    frame = with_missing_sense(frame, augmentation, rng)
    working = make_working_view(frame, gsd_m, 2 * detector.max_pixels)
    return working if erased is None else working.without(erased), labels


def view_labels(view: LabelledView, objects: Mapping[str, ObjectModel], class_order: Sequence[str]) -> Labels:
    """Class and projected centre of the part at every pixel of a view's frame, as far as they are known."""
    ids = np.asarray(view.instance_ids).astype(np.int64)
    posed, weight = view.pose_known, view.known_weight
    centers = np.zeros((len(posed), 3))
    for i in np.flatnonzero(posed):
        centers[i] = transform(view.T_cam_obj[i], objects[view.object_ids[i]].center_m[None])[0]
    centers_px = np.zeros((len(posed), 2))
    centers_px[posed] = view.frame.camera.project(centers[posed])
    classes = object_classes(view.object_ids, class_order)
    classes = np.where((np.asarray(view.visible_fraction) < LEAST_VISIBLE) | (weight == 0), -1, classes)
    # The last two rows are those of UNKNOWN and BACKGROUND, which index from the end.
    table_class = np.append(classes, [-1, 0]).astype(np.int16)
    table_px = np.vstack([centers_px, np.zeros((2, 2))]).astype(np.float32)
    table_depth = np.append(centers[:, 2], [0, 0]).astype(np.float32)
    table_weights = np.vstack([np.stack([weight, weight * posed], -1), [[0, 0], [1, 1]]]).astype(np.float32)
    return Labels(table_class[ids], table_px[ids], table_depth[ids], table_weights[ids])


def working_targets(
    labels: Labels, view: WorkingView
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Per cell of the network's output: classes (h, w) int64, offsets to the centre (h, w, 3), weights (h, w, 2).

    Offsets are in the network's unit.
    """
    rows, columns = view.camera.height // OUTPUT_STRIDE, view.camera.width // OUTPUT_STRIDE
    middle = (OUTPUT_STRIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) * OUTPUT_STRIDE + middle
    place = np.round(view.to_frame_px(grid)).astype(np.int64)
    height, width = labels.class_ids.shape
    inside = np.asarray(((place >= 0) & (place < [width, height])).all(-1))
    u, v = np.clip(place[..., 0], 0, width - 1), np.clip(place[..., 1], 0, height - 1)
    classes = np.where(inside, labels.class_ids[v, u], 0).astype(np.int64)
    offset = view.to_working_px(labels.center_px[v, u]) - grid
    depth = view.depth_m[::OUTPUT_STRIDE, ::OUTPUT_STRIDE][:rows, :columns]
    depth_offset = (labels.center_depth_m[v, u] - depth) / view.gsd_m
    targets = np.concatenate([offset, depth_offset[..., None]], -1) / OFFSET_UNIT_PX
    weights = np.where(inside[..., None], labels.weights[v, u], np.float32(1))
    return classes, (targets * (classes > 0)[..., None]).astype(np.float32), weights


def _padded(array: npt.NDArray[Any], side: int, value: float) -> npt.NDArray[Any]:
    if array.shape[:2] == (side, side):
        return array
    missing = [(0, side - array.shape[0]), (0, side - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, missing, constant_values=value)


def _turned(
    features: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    targets: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float32],
    quarter_turns: int,
) -> tuple[npt.NDArray[Any], ...]:
    """Turn everything about the optical axis, vectors (normals, offsets) included."""
    arrays = (features, classes, targets, valid, weights)
    turned: list[npt.NDArray[Any]] = [np.rot90(array, quarter_turns) for array in arrays]
    if quarter_turns:
        turned[0], turned[2] = turned[0].copy(), turned[2].copy()
    for _ in range(quarter_turns):
        for vectors in (turned[0], turned[2]):
            vectors[..., 0], vectors[..., 1] = vectors[..., 1].copy(), -vectors[..., 0]
    return tuple(turned)
