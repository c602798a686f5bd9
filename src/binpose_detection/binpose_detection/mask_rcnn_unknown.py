"""Mask R-CNN with partial labels: torchvision's losses take nothing from unknown pixels.

torchvision has no labels to be ignored. So for the time of a step a region that holds unknown pixels is no negative
example, neither for the proposals nor for the classes, and the mask at unknown pixels has no gradient.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

NEGATIVE, IGNORED = 0, -1
"""torchvision's labels of regions."""


@contextlib.contextmanager
def without_unknown(network: torch.nn.Module, unknown: Sequence[torch.Tensor]) -> Iterator[None]:
    """Inside, the losses of torchvision's Mask R-CNN ignore unknown pixels (s, s) bool of each of its images."""
    if not any(bool(pixels.any()) for pixels in unknown):
        yield
        return
    rpn: Any = network.rpn
    heads: Any = network.roi_heads
    regions = _MaskRegions(unknown)
    rpn.assign_targets_to_anchors = _anchors_without(rpn.assign_targets_to_anchors, unknown)
    heads.assign_targets_to_proposals = _proposals_without(heads.assign_targets_to_proposals, unknown)
    hooks = (
        heads.mask_roi_pool.register_forward_pre_hook(regions.remember),
        heads.mask_predictor.register_forward_hook(regions.silenced),
    )
    try:
        yield
    finally:
        del rpn.assign_targets_to_anchors, heads.assign_targets_to_proposals  # the methods of the classes again
        for hook in hooks:
            hook.remove()


def _anchors_without(assign: Callable[..., Any], unknown: Sequence[torch.Tensor]) -> Callable[..., Any]:
    def assigned(anchors: list[torch.Tensor], targets: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        labels, boxes = assign(anchors, targets)
        return [_ignoring(*each) for each in zip(labels, anchors, unknown, strict=True)], boxes

    return assigned


def _proposals_without(assign: Callable[..., Any], unknown: Sequence[torch.Tensor]) -> Callable[..., Any]:
    def assigned(
        proposals: list[torch.Tensor], boxes: list[torch.Tensor], labels: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        matched, found = assign(proposals, boxes, labels)
        return matched, [_ignoring(*each) for each in zip(found, proposals, unknown, strict=True)]

    return assigned


def _ignoring(labels: torch.Tensor, boxes: torch.Tensor, unknown: torch.Tensor) -> torch.Tensor:
    return labels.masked_fill((labels == NEGATIVE) & holds_any(boxes, unknown), IGNORED)


def holds_any(boxes: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """(N,) whether boxes (N, 4), columns and rows from left top to right bottom, hold one of the pixels (h, w) bool."""
    total = functional.pad(pixels.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    height, width = pixels.shape
    left, top = boxes[:, 0].floor().long().clamp(0, width), boxes[:, 1].floor().long().clamp(0, height)
    right, bottom = boxes[:, 2].ceil().long().clamp(0, width), boxes[:, 3].ceil().long().clamp(0, height)
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0


class _MaskRegions:
    """Sets the mask logits in cells with unknown pixels to a constant, which has no gradient."""

    def __init__(self, unknown: Sequence[torch.Tensor]) -> None:
        self._unknown = unknown
        self._regions: list[torch.Tensor] = []

    def remember(self, _: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        self._regions = arguments[1]

    def silenced(self, _: torch.nn.Module, __: Any, logits: torch.Tensor) -> torch.Tensor:
        cells = [
            unknown_cells(boxes, pixels, logits.shape[-1])
            for boxes, pixels in zip(self._regions, self._unknown, strict=True)
        ]
        return logits.masked_fill(torch.cat(cells)[:, None], 0.0)


def unknown_cells(boxes: torch.Tensor, unknown: torch.Tensor, count: int) -> torch.Tensor:
    """(N, count, count) whether the cells of a regular grid over boxes (N, 4) hold an unknown pixel (h, w)."""
    steps = torch.arange(count + 1, device=boxes.device) / count
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps
    y = boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * steps
    left, top = torch.broadcast_tensors(x[:, None, :-1], y[:, :-1, None])
    right, bottom = torch.broadcast_tensors(x[:, None, 1:], y[:, 1:, None])
    cells = torch.stack([left, top, right, bottom], -1).reshape(-1, 4)
    return holds_any(cells, unknown).reshape(-1, count, count)
