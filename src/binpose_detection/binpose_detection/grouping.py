"""From what the network says of cells to instances.

Regions are what holds together; those that a part in front divides are joined by their centre.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_detection.mutex_watershed import mutex_watershed
from binpose_detection.network import STEPS, step_apart
from binpose_detection.votes import Votes

NEIGHBOURS = 2
"""The first steps lead to neighbours and attract, the others repel."""
LEAST_STRENGTH = 1e-3
VAGUE_CELLS = 0.7
DEPTH_STEP_CELLS = (1.5, 2.0)
UNKNOWN_DEPTH = 0.6


@dataclass(frozen=True)
class GroupingConfig:
    """How votes become instances; lengths in cells of the network's output.

    foreground: the least probability of being a part for a cell to belong to one.
    repulsion: how much a doubt that two distant cells are of one part counts, beside the trust that neighbours are.
    same_center: regions are of one part where their centres differ by less than this many of their own scales, up to
        `max_distance_cells`.
    min_cells: the fewest cells of an instance.
    min_support: the least sum of the votes of an instance, each of which counts for its probability of being a part by
        1 + its scale: vague votes count for little.
    max_instances: the most instances of a frame, those with the most support.
    """

    foreground: float = 0.65
    repulsion: float = 1.0
    same_center: float = 1.5
    max_distance_cells: float = 4.0
    min_cells: int = 16
    min_support: float = 3.0
    max_instances: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.foreground < 1:
            raise BinposeError(f"foreground must be in (0, 1), got {self.foreground}.")
        if not self.repulsion > 0 or not self.same_center > 0:
            raise BinposeError(
                f"repulsion and same_center must be positive, got {self.repulsion} and {self.same_center}."
            )

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> "GroupingConfig":
        """From plain JSON data. What earlier versions stored of another grouping means nothing any more."""
        return cls(**values) if "repulsion" in values else cls()


class Edges(NamedTuple):
    """Between cells: one, other (E,) their numbers; strength (E,) in [0, 1]; repels (E,)."""

    one: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]
    strength: npt.NDArray[np.float32]
    repels: npt.NDArray[np.bool_]


def group_cells(votes: Votes, depth_cells: npt.NDArray[np.float32], config: GroupingConfig) -> npt.NDArray[np.int64]:
    """(h, w) number of the instance of each cell, the best supported first, -1 where there is none.

    Args:
        votes: what the network says.
        depth_cells: (h, w) depth in lengths of a cell, 0 = unknown.
        config: what makes an instance.
    """
    inside = votes.foreground > config.foreground
    labels = np.full(inside.shape, -1, np.int64)
    count = int(inside.sum())
    if count == 0:
        return labels
    numbers = np.where(inside, np.cumsum(inside).reshape(inside.shape) - 1, -1)
    regions = mutex_watershed(count, *_edges(votes, depth_cells, numbers, config))
    centers, scales = votes.center_cells[inside], votes.scale_cells[inside]
    instances = _joined_by_center(regions, centers, scales, votes.foreground[inside], config)
    support = votes.foreground[inside] / (1.0 + scales)
    labels[inside] = _best_supported(instances, support, config)
    return labels


def _edges(
    votes: Votes, depth_cells: npt.NDArray[np.float32], numbers: npt.NDArray[np.int64], config: GroupingConfig
) -> Edges:
    """Between the numbered cells that are a step apart."""
    found = []
    for channel, (down, right) in enumerate(STEPS):
        one, other = step_apart(numbers, down, right)
        both = (one >= 0) & (other >= 0)
        repels = channel >= NEIGHBOURS
        same = _affinity_of_votes(votes, depth_cells, down, right, both, repels)
        if len(votes.affinity):
            same = np.sqrt(same * step_apart(votes.affinity[channel], down, right)[0][both])
        strength = config.repulsion * (1.0 - same) if repels else same
        strong = strength > LEAST_STRENGTH
        found.append(Edges(one[both][strong], other[both][strong], strength[strong], np.full(strong.sum(), repels)))
    return Edges(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _affinity_of_votes(
    votes: Votes,
    depth_cells: npt.NDArray[np.float32],
    down: int,
    right: int,
    both: npt.NDArray[np.bool_],
    far: bool,
) -> npt.NDArray[np.float32]:
    """(E,) in [0, 1]: what the votes say of two cells, beside what the network says of them directly.

    They hold together where they vote for one centre and, if they are neighbours, no step in depth divides them.
    """
    place, other_place = (half[:, both] for half in step_apart(np.moveaxis(votes.center_cells, -1, 0), down, right))
    scale, other_scale = (half[both] for half in step_apart(votes.scale_cells, down, right))
    distance = np.linalg.norm(place - other_place, axis=0) / (scale + other_scale + 2 * VAGUE_CELLS)
    if far:
        return np.asarray(np.exp(-distance), np.float32)
    depth, other_depth = (half[both] for half in step_apart(depth_cells, down, right))
    free, per = DEPTH_STEP_CELLS
    edge = np.exp(-np.maximum(np.abs(depth - other_depth) - free, 0) / per)
    return np.asarray(np.exp(-distance) * np.where((depth > 0) & (other_depth > 0), edge, UNKNOWN_DEPTH), np.float32)


def _joined_by_center(
    regions: npt.NDArray[np.int64],
    centers: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.float32],
    config: GroupingConfig,
) -> npt.NDArray[np.int64]:
    """(N,) instance of each cell: regions of one centre, the nearest joined first; -1 for what is too small."""
    weight = foreground / np.square(0.5 + scales)
    mass = np.bincount(regions, weight)
    center = np.stack([np.bincount(regions, weight * c) for c in centers.T], 1) / mass[:, None]
    scale = np.bincount(regions, weight * scales) / mass
    instance = np.where(np.bincount(regions) >= config.min_cells, np.arange(len(mass)), -1)
    alive = np.flatnonzero(instance >= 0)
    while len(alive) > 1:
        distance = np.linalg.norm(center[alive, None] - center[alive], axis=-1)
        reach = config.same_center * (1.0 + np.maximum(scale[alive, None], scale[alive]))
        relative = distance / np.minimum(reach, config.max_distance_cells)
        np.fill_diagonal(relative, np.inf)
        i, j = np.unravel_index(int(relative.argmin()), relative.shape)
        if relative[i, j] >= 1.0:
            break
        keep, gone = alive[i], alive[j]
        both = mass[keep] + mass[gone]
        for values in (center, scale):
            values[keep] = (values[keep] * mass[keep] + values[gone] * mass[gone]) / both
        mass[keep] = both
        instance[instance == gone] = keep
        alive = np.delete(alive, j)
    return np.asarray(instance[regions])


def _best_supported(
    instances: npt.NDArray[np.int64], support: npt.NDArray[np.float32], config: GroupingConfig
) -> npt.NDArray[np.int64]:
    """(N,) the instances renumbered by descending support, -1 for those with too little."""
    total = np.bincount(instances + 1, support)[1:]
    order = np.argsort(-total, kind="stable")[: config.max_instances]
    rank = np.full(len(total) + 1, -1, np.int64)
    chosen = order[total[order] >= config.min_support]
    rank[chosen] = np.arange(len(chosen))
    return rank[instances]
