"""What the segmentation network is trained for."""

import torch
from torch.nn import functional

from binpose_detection.network import OFFSET_UNIT_PX, OUTPUT_STRIDE, STEPS, step_apart

MAX_LOG_SCALE = 3.0
CLASS_WEIGHT = 4.0
"""Else the centres' gradients, which grow with their precision, are three times those of the classes."""
AFFINITY_WEIGHT = 4.0
SAME_CENTER = 0.01
"""In the targets' unit: two cells whose centres are nearer are of one part."""


def segmentation_loss(
    logits: torch.Tensor,
    centers: torch.Tensor,
    affinities: torch.Tensor,
    classes: torch.Tensor,
    targets: torch.Tensor,
    valid_depth: torch.Tensor,
    weights: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Losses by name; their sum is minimised. What has a weight of 0 is unknown: no loss is taken from it.

    The means are over all that is known, whatever its weight: a weight scales the loss linearly.

    Args:
        logits: (B, C + 1, h, w) as `SegmentationNetwork` gives them.
        centers: (B, 4, h, w), likewise.
        affinities: (B, 8, h, w), likewise.
        classes: (B, h, w) int64, 0 = no part, -1 = ignore.
        targets: (B, 3, h, w) offsets to the centre in the network's unit.
        valid_depth: (B, h, w) bool, where the offset in depth can be told.
        weights: (B, 2, h, w) in [0, 1], of the class and of the centre.
    """
    class_weight, center_weight = weights.unbind(1)
    classes = classes.masked_fill(class_weight == 0, -1)
    part = classes > 0
    centered = part & (center_weight > 0)
    cross_entropy = functional.cross_entropy(logits, classes, ignore_index=-1, reduction="none")
    # Hard pixels (edges, small parts) decide the instances: focus on them, with parts and the rest in balance.
    focus = class_weight * (cross_entropy * (1.0 - torch.exp(-cross_entropy.detach())))
    known = classes >= 0
    loss = {"class": CLASS_WEIGHT * (_mean_over_classes(focus, classes, part) + _mean(focus, known & ~part))}
    log_scale = centers[:, 3].clamp(-4.0, MAX_LOG_SCALE)
    distance = (centers[:, :2] - targets[:, :2]).abs().sum(1)
    likelihood = distance * torch.exp(-log_scale) + 2 * log_scale
    loss["center"] = _mean_over_classes(center_weight * likelihood, classes, centered)
    apart = (centers[:, 2] - targets[:, 2]).abs()
    loss["depth"] = _mean_over_classes(center_weight * apart, classes, centered & valid_depth)
    loss["affinity"] = AFFINITY_WEIGHT * _affinity_loss(affinities, classes, targets, center_weight)
    return loss


def _affinity_loss(
    affinities: torch.Tensor, classes: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Mean over the steps of the cross entropy of the pairs of cells that can be told.

    Pairs of different parts are rare and decide everything: like the classes, both kinds count by the roots of their
    numbers. A pair has the lower weight of its cells; nothing is known of one with an unknown centre.
    """
    total = affinities.new_zeros(())
    for channel, (down, right) in enumerate(STEPS):
        known, same = pairs_of_cells(classes, targets, down, right)
        pair_weight = torch.minimum(*step_apart(weight, down, right))
        logits, _ = step_apart(affinities[:, channel], down, right)
        entropy = functional.binary_cross_entropy_with_logits(logits, same.to(logits.dtype), reduction="none")
        total = total + _mean_over_classes(pair_weight * entropy, same.long(), known & (pair_weight > 0))
    return total / len(STEPS)


def pairs_of_cells(
    classes: torch.Tensor, targets: torch.Tensor, down: int, right: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is to be learnt of the pairs of cells (B, h - down, w - |right|) that are a step apart.

    Args:
        classes: (B, h, w), as `segmentation_loss` takes them.
        targets: (B, 3, h, w), likewise.
        down: rows of the step.
        right: its columns.

    Returns:
        known: whether it is known, and matters, if the cells belong together: one at least is of a part.
        same: whether they do: they have one centre.
    """
    (one, other), (to_one, to_other) = step_apart(classes, down, right), step_apart(targets[:, :2], down, right)
    moved = targets.new_tensor([right, down])[:, None, None] * (OUTPUT_STRIDE / OFFSET_UNIT_PX)
    known = (one >= 0) & (other >= 0) & ((one > 0) | (other > 0))
    same = (one == other) & (one > 0) & ((to_one - to_other - moved).abs().amax(1) < SAME_CENTER)
    return known, same


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
