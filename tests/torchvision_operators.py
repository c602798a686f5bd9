"""Plain torch in place of torchvision's compiled operators, for machines on which its build does not fit torch's.

Only what Mask R-CNN calls: `nms` and `roi_align`. The fixture `torchvision` of conftest.py installs them.
"""

import importlib
import math
import sys

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of the boxes (N, 4) that overlap no better one by more than the threshold, best first."""
    order = scores.argsort(descending=True, stable=True)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    corner = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    both = (torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - corner).clamp(min=0).prod(2)
    overlaps = both / (area[:, None] + area - both) > iou_threshold
    free = torch.ones(len(boxes), dtype=torch.bool)
    keep = []
    for index in order.tolist():
        if free[index]:
            keep.append(index)
            free &= ~overlaps[index]
    return torch.tensor(keep, dtype=torch.int64)


def roi_align(
    features: torch.Tensor, rois: torch.Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> torch.Tensor:
    """Features (B, C, H, W) averaged in the cells of boxes (K, 5): (K, C, height, width).

    At `ratio` x `ratio` points per cell; if it is 0 or less, at about one per pixel, which differs from box to box.
    """
    out = features.new_zeros(len(rois), features.shape[1], height, width)
    groups = (rois[:, 0] == number for number in range(len(features))) if ratio > 0 else torch.eye(len(rois)) > 0
    for group in groups:
        own = torch.nonzero(group)[:, 0]
        if len(own):
            image = features[int(rois[own[0], 0])]
            pooled = _pooled(image, rois[own, 1:] * scale, height, width, ratio, 0.5 if aligned else 0.0)
            out = out.index_add(0, own, pooled)
    return out


def _pooled(
    image: torch.Tensor, boxes: torch.Tensor, height: int, width: int, ratio: int, shift: float
) -> torch.Tensor:
    """(K, C, height, width) of one image (C, H, W)."""
    start, stop = boxes[:, :2] - shift, boxes[:, 2:] - shift
    extent = stop - start if shift else (stop - start).clamp(min=1.0)
    counts = [ratio if ratio > 0 else math.ceil(extent[0, axis] / side) for axis, side in enumerate((width, height))]
    x, y = (
        start[:, axis, None] + extent[:, axis, None] * (torch.arange(side * count) + 0.5) / (side * count)
        for axis, (side, count) in enumerate(zip((width, height), counts, strict=True))
    )
    points = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
    size = torch.tensor([image.shape[2], image.shape[1]])
    inside = ((points >= -1) & (points <= size)).all(-1)
    grid = (2 * points / (size - 1) - 1).reshape(1, -1, points.shape[2], 2)
    values = torch.nn.functional.grid_sample(image[None], grid, padding_mode="border", align_corners=True)
    values = values[0].reshape(len(image), *inside.shape) * inside
    return torch.nn.functional.avg_pool2d(values, counts[::-1]).transpose(0, 1)


def install() -> None:
    """Register the operators and import torchvision with them."""
    LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # named on import, never called
    LIBRARY.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    LIBRARY.impl("nms", nms, "CPU")
    LIBRARY.impl("roi_align", roi_align, "CompositeImplicitAutograd")
    importlib.import_module("torchvision")
    for name in ("torchvision.extension", "torchvision.ops.roi_align"):
        sys.modules[name]._has_ops = lambda: True
