"""The largest distance between two points, exact, in much less than quadratic time.

Points are sorted along a space-filling curve, and neighbours in that order form the nodes of a binary tree. From the
root down, a pair of nodes is expanded only if its bound exceeds the largest distance found so far. There are two
bounds: the largest distance between the boxes and, for balls and other parts where nearly all points have an opposite
point, the parallelogram law |p - q|^2 = 2 |p|^2 + 2 |q|^2 - |p + q|^2.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray

LEAF = 16
BLOCK = 1 << 16
"""Pairs of leaves whose distances are computed in one call."""


class _Level(NamedTuple):
    """Nodes of one depth of the tree: boxes (N, 3) and the largest squared distance (N,) from the origin."""

    low: FloatArray
    high: FloatArray
    squared_radius: FloatArray


def farthest_distance(points: FloatArray) -> float:
    """The largest distance between two of the points (N, 3), in their unit."""
    points = np.asarray(points, dtype=np.float64)
    first, second = _far_pair(points)
    points = points - (points[first] + points[second]) / 2
    best = float(((points[first] - points[second]) ** 2).sum())
    points = _padded(points[_curve_order(points)])
    levels = _levels(points)
    pairs = np.zeros((1, 2), np.int64)
    for level in levels[:-1]:
        pairs = pairs[_bound(level, pairs) > best]
        if not len(pairs):
            return float(np.sqrt(best))
        stride = len(points) // len(level.low)  # one point of each node may raise the best distance
        best = max(best, float(_squared(points[pairs[:, 0] * stride], points[pairs[:, 1] * stride]).max()))
        pairs = _children(pairs)
    return float(np.sqrt(_best_of_leaves(points, levels[-1], pairs, best)))


def _far_pair(points: FloatArray) -> tuple[int, int]:
    """Indices of two points far apart: from the extremes of each axis repeatedly to the farthest point."""
    best, pair = -1.0, (0, 0)
    for start in {int(i) for axis in range(3) for i in (points[:, axis].argmin(), points[:, axis].argmax())}:
        here = start
        for _ in range(4):
            squared = _squared(points, points[here])
            there = int(squared.argmax())
            if squared[there] > best:
                best, pair = float(squared[there]), (here, there)
            here = there
    return pair


def _curve_order(points: FloatArray) -> npt.NDArray[np.intp]:
    """The order (N,) of points along a Morton curve of 16 bits an axis."""
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    cells = ((points - low) / max(extent, 1e-300) * 65535).astype(np.uint64)
    for shift, mask in ((16, 0x0000FF0000FF), (8, 0x00F00F00F00F), (4, 0x0C30C30C30C3), (2, 0x249249249249)):
        cells = (cells | (cells << np.uint64(shift))) & np.uint64(mask)
    return np.argsort(cells[:, 0] | (cells[:, 1] << np.uint64(1)) | (cells[:, 2] << np.uint64(2)), kind="stable")


def _padded(points: FloatArray) -> FloatArray:
    """The points, the last one repeated to fill a power of two of leaves."""
    leaves = 1 << max(0, int(np.ceil(np.log2(len(points) / LEAF))))
    return np.concatenate([points, np.repeat(points[-1:], leaves * LEAF - len(points), axis=0)])


def _levels(points: FloatArray) -> list[_Level]:
    """The tree from the root to the leaves."""
    blocks = points.reshape(-1, LEAF, 3)
    level = _Level(blocks.min(axis=1), blocks.max(axis=1), (blocks**2).sum(axis=2).max(axis=1))
    levels = [level]
    while len(level.low) > 1:
        low, high, squared = level.low.reshape(-1, 2, 3), level.high.reshape(-1, 2, 3), level.squared_radius
        level = _Level(low.min(axis=1), high.max(axis=1), squared.reshape(-1, 2).max(axis=1))
        levels.append(level)
    return levels[::-1]


def _bound(level: _Level, pairs: npt.NDArray[np.int64]) -> FloatArray:
    """(K,) upper bound of the squared distance between points of a pair of nodes (K, 2)."""
    low, high = level.low[pairs], level.high[pairs]
    span = np.maximum(high[:, 0] - low[:, 1], high[:, 1] - low[:, 0])
    off = np.maximum(
        0.0, np.maximum(low.sum(axis=1), -high.sum(axis=1))
    )  # from one box to the other one's mirror image
    opposite = 2 * level.squared_radius[pairs].sum(axis=1) - (off**2).sum(axis=1)
    return np.asarray(np.minimum((span**2).sum(axis=1), opposite))


def _children(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The distinct pairs of the next level."""
    both = 2 * pairs[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    both = both.reshape(-1, 2)
    return both[both[:, 0] <= both[:, 1]]


def _best_of_leaves(points: FloatArray, leaves: _Level, pairs: npt.NDArray[np.int64], best: float) -> float:
    """The largest squared distance, at least `best`, between points of pairs of leaves; most promising pairs first."""
    bounds = _bound(leaves, pairs)
    order = np.argsort(-bounds, kind="stable")
    blocks = points.reshape(-1, LEAF, 3)
    for begin in range(0, len(order), BLOCK):
        some = order[begin : begin + BLOCK]
        some = some[bounds[some] > best]
        if not len(some):
            break
        first, second = blocks[pairs[some, 0]], blocks[pairs[some, 1]]
        best = max(best, float(_squared(first[:, :, None], second[:, None]).max()))
    return best


def _squared(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(((a - b) ** 2).sum(axis=-1))
