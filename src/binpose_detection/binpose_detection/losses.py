"""What the segmentation network is trained for."""

import torch
from torch.nn import functional

MAX_LOG_SCALE = 3.0
CLASS_WEIGHT = 4.0
"""Else the centres' gradients, which grow with their precision, are three times those of the classes."""


def segmentation_loss(
    logits: torch.Tensor, centers: torch.Tensor, classes: torch.Tensor, targets: torch.Tensor, valid_depth: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Losses by name; their sum is minimised.

    Args:
        logits: (B, C + 1, h, w) as `SegmentationNetwork` gives them.
        centers: (B, 4, h, w), likewise.
        classes: (B, h, w) int64, 0 = no part, -1 = ignore.
        targets: (B, 3, h, w) offsets to the centre in the network's unit.
        valid_depth: (B, h, w) bool, where the offset in depth can be told.
    """
    part = classes > 0
    cross_entropy = functional.cross_entropy(logits, classes, ignore_index=-1, reduction="none")
    # Hard pixels (edges, small parts) decide the instances: focus on them, with parts and the rest in balance.
    focus = cross_entropy * (1.0 - torch.exp(-cross_entropy.detach()))
    known = classes >= 0
    loss = {"class": CLASS_WEIGHT * (_mean_over_classes(focus, classes, part) + _mean(focus, known & ~part))}
    log_scale = centers[:, 3].clamp(-4.0, MAX_LOG_SCALE)
    distance = (centers[:, :2] - targets[:, :2]).abs().sum(1)
    loss["center"] = _mean_over_classes(distance * torch.exp(-log_scale) + 2 * log_scale, classes, part)
    loss["depth"] = _mean_over_classes((centers[:, 2] - targets[:, 2]).abs(), classes, part & valid_depth)
    return loss


def _mean_over_classes(values: torch.Tensor, classes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """The mean over the classes' means, weighted by the roots of their areas.

    A pin has a tenth of a motor's pixels: counted by pixels it would not be learnt, counted like the motor it would be
    seen everywhere.
    """
    index = classes[where]
    count = torch.bincount(index).to(values.dtype)
    total = torch.zeros_like(count).index_add(0, index, values[where])
    weight = count.clamp(min=1.0).rsqrt()
    return (weight * total).sum() / (weight * count).sum().clamp(min=1.0)


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    weight = where.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)
