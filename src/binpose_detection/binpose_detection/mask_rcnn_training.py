"""Training of Mask R-CNN from labelled views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.precision import channels_last
from binpose_core.frames.masks import box_xyxy
from binpose_core.frames.types import BACKGROUND, UNKNOWN, LabelledView
from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import transform
from binpose_core.learning.training_loop import LoopConfig, StepCallback, train
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.augmentation import AugmentationConfig, Labels
from binpose_detection.mask_rcnn import MaskRcnnConfig, MaskRcnnSegmenter, build_mask_rcnn, network_image
from binpose_detection.mask_rcnn_unknown import without_unknown
from binpose_detection.training import SegmentationTrainingConfig, augmented_view

Target = dict[str, torch.Tensor]
Batch = tuple[list[torch.Tensor], list[Target]]

LEAST_PIXELS = 24
MEASURED_VIEWS = 100
MEASURED_VISIBLE = 0.5
MOST_DRAWS = 100
"""Of views for one batch, of which none shows anything known."""


@dataclass(frozen=True)
class MaskRcnnTrainingConfig(SegmentationTrainingConfig):
    """The same settings with other defaults.

    Windows are larger, as a part that a window cuts is a part of another shape for a detector of boxes. No view is
    without colour, the only sense. Boxes are regressed in pixels of the image: bfloat16 has too few digits for them.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=10.0, learning_rate=4e-4, low_precision=False))
    augmentation: AugmentationConfig = field(default_factory=lambda: AugmentationConfig(no_depth=0.0, no_color=0.0))
    views: int = 2
    crops: int = 2
    crop_px: int = 320

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augmentation.no_color > 0:
            raise BinposeError(f"no_color must be 0: the network sees nothing else, got {self.augmentation.no_color}.")


def train_mask_rcnn(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    segmenter_config: MaskRcnnConfig,
    config: MaskRcnnTrainingConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_step: StepCallback | None = None,
    device: str = "cpu",
) -> MaskRcnnSegmenter:
    """A Mask R-CNN for `segmenter_config.objects`, trained from scratch on the views until the budget is spent.

    `device` is where it runs, cpu or cuda.

    Raises:
        BinposeError: if torchvision cannot be used, or the checkpoint is another network's.
    """
    torch.manual_seed(seed)
    network = channels_last(build_mask_rcnn(segmenter_config).to(device))
    sampler = WindowSampler(views, objects, segmenter_config, config, seed)
    trained = train(network, sampler, _loss, config.loop, checkpoint, on_step)
    behind = centers_behind_m(views, objects, segmenter_config.objects)
    return MaskRcnnSegmenter(trained, replace(segmenter_config, center_behind_m=behind), device)


def _loss(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    with without_unknown(network, [target["unknown"] for target in batch[1]]):
        losses: dict[str, torch.Tensor] = network(*batch)
    return {name.removeprefix("loss_"): value for name, value in losses.items()}


class WindowSampler:
    """Batch number -> images (3, s, s), and for each its boxes (N, 4), labels (N,), masks (N, s, s) and unknown (s, s).

    A window with unknown pixels and no known part teaches nothing and is left out. The losses of torchvision have no
    weights: a part with a weight below 1 is unknown in so many of the views that it counts by its weight on average.
    """

    def __init__(
        self,
        views: Sequence[LabelledView],
        objects: Mapping[str, ObjectModel],
        segmenter_config: MaskRcnnConfig,
        config: MaskRcnnTrainingConfig,
        seed: int,
    ) -> None:
        self.views, self.objects, self.seed = views, objects, seed
        self.segmenter, self.config = segmenter_config, config

    def __call__(self, number: int) -> Batch:
        """The batch with this number, the same on every call.

        Raises:
            BinposeError: if no window shows anything known.
        """
        rng = np.random.default_rng((self.seed, number))
        for _ in range(MOST_DRAWS):
            windows = [window for _ in range(self.config.views) for window in self.samples(rng)]
            samples = [(x, target) for x, target in windows if len(target["boxes"]) or not target["unknown"].any()]
            if samples:
                return [image for image, _ in samples], [target for _, target in samples]
        raise BinposeError(
            f"None of {MOST_DRAWS * self.config.views} windows shows a known part of "
            f"{', '.join(self.segmenter.objects)}; expected labels of some; label or simulate more views."
        )

    def samples(self, rng: np.random.Generator) -> list[tuple[torch.Tensor, Target]]:
        """Windows of one augmented view."""
        view, labels = augmented_view(self.views, self.objects, self.segmenter, self.config.augmentation, rng)
        instances, classes = working_instances(with_drawn_weights(labels, rng), view)
        return [self._window(view.color, instances, classes, rng) for _ in range(self.config.crops)]

    def _window(
        self,
        color: npt.NDArray[np.uint8],
        instances: npt.NDArray[np.int64],
        classes: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, Target]:
        """A square window, turned by a multiple of 90 degrees; never mirrored, which would be another part."""
        side = self.config.crop_px
        y, x = window_corner(instances, classes, side, rng)
        window = slice(y, y + side), slice(x, x + side)
        beyond = tuple((0, max(0, side - length)) for length in instances.shape)
        color = np.pad(color[window], (*beyond, (0, 0)))
        instances = np.pad(instances[window], beyond, constant_values=BACKGROUND)
        turns = int(rng.integers(4))
        return network_image(np.rot90(color, turns)), window_target(np.rot90(instances, turns), classes)


def with_drawn_weights(labels: Labels, rng: np.random.Generator) -> Labels:
    """The labels with each part of a weight w in (0, 1) known with probability w, else unknown."""
    weight = labels.weights.min(-1)
    unsure = (weight > 0) & (weight < 1)
    if not unsure.any():
        return labels
    centers, index = np.unique(labels.center_px[unsure], axis=0, return_inverse=True)
    weights = labels.weights.copy()
    weights[unsure] = (rng.random(len(centers))[index.ravel()] < weight[unsure])[:, None]
    return replace(labels, weights=weights)


def working_instances(labels: Labels, view: WorkingView) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Instance (h, w) of every pixel of a working view and the classes (N,) of the instances.

    `BACKGROUND` = no part, `UNKNOWN` where class or centre is unknown. Pixels of one part share its projected centre,
    also those of a pasted one, and no two parts have the same.
    """
    columns, rows = view.frame_indices()
    height, width = labels.class_ids.shape
    window = np.ix_(np.minimum(rows, height - 1), np.minimum(columns, width - 1))
    class_ids, center_px = labels.class_ids[window], np.ascontiguousarray(labels.center_px[window])
    inside = (rows < height)[:, None] & (columns < width)
    unknown = inside & (labels.weights[window] == 0).any(-1)
    part = (class_ids > 0) & inside & ~unknown
    _, first, index = np.unique(center_px.view(np.uint64)[..., 0][part], return_index=True, return_inverse=True)
    instances = np.where(unknown, UNKNOWN, BACKGROUND)
    instances[part] = index
    return instances, class_ids[part][first].astype(np.int64)


def window_corner(
    instances: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], side: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Row and column at which a square window begins that holds the middle of a random part, every class alike."""
    size = np.array(instances.shape)
    corner = rng.integers(0, np.maximum(1, size - side + 1))
    if len(classes):
        chosen = rng.choice(np.flatnonzero(classes == rng.choice(np.unique(classes))))
        middle = np.median(np.argwhere(instances == chosen), axis=0).astype(np.int64)
        corner = middle - rng.integers(side // 8, side - side // 8, 2)
    y, x = np.clip(corner, 0, np.maximum(0, size - side))
    return int(y), int(x)


def window_target(instances: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> Target:
    """What is known of a window with instances (s, s).

    Boxes (N, 4) float32, half open, labels (N,), masks (N, s, s) uint8 and the unknown pixels (s, s) bool.
    """
    present, counts = np.unique(instances[instances >= 0], return_counts=True)
    present = present[counts >= LEAST_PIXELS]
    masks = instances == present[:, None, None]
    boxes = [box_xyxy(mask) for mask in masks]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.from_numpy(classes[present]),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
        "unknown": torch.from_numpy(instances == UNKNOWN),
    }


def centers_behind_m(
    views: Sequence[LabelledView], objects: Mapping[str, ObjectModel], names: Sequence[str]
) -> tuple[float, ...]:
    """Per object, the median depth of its centre behind the median depth of its visible surface; 0 if never seen."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in np.unique(np.linspace(0, len(views) - 1, min(len(views), MEASURED_VIEWS)).astype(int)):
        view = views[int(number)]
        if view.frame.depth_m is None:
            continue
        for instance in np.flatnonzero((np.asarray(view.visible_fraction) >= MEASURED_VISIBLE) & view.pose_known):
            name = view.object_ids[instance]
            surface = view.frame.depth_m[view.instance_ids == instance]
            if name in found and (surface > 0).sum() >= LEAST_PIXELS:
                center_m = transform(view.T_cam_obj[instance], objects[name].center_m[None])[0, 2]
                found[name].append(float(center_m - np.median(surface[surface > 0])))
    return tuple(float(np.median(values)) if values else 0.0 for values in found.values())
