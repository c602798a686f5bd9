"""From votes for centres to instances."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from binpose_core.errors import BinposeError


@dataclass(frozen=True)
class GroupingConfig:
    """How votes become instances; lengths in cells of the network's output.

    radius_cells: votes nearer than this to a peak belong to it; precise votes only, vague ones reach `spread` times
        their own predicted scale, up to `max_radius_cells`.
    min_cells: the fewest cells of an instance.
    min_support: the least sum of the votes of an instance, each of which counts for its probability of being a part by
        1 + its scale: vague votes count for little.
    foreground: the least probability of being a part for a cell to vote.
    max_instances: the most instances of a frame.
    blur_cells: standard deviation of the smoothing under which the best supported centre is looked for.
    """

    radius_cells: float = 3.0
    max_radius_cells: float = 10.0
    spread: float = 3.0
    min_cells: int = 8
    min_support: float = 0.8
    foreground: float = 0.5
    max_instances: int = 64
    blur_cells: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.radius_cells <= self.max_radius_cells:
            raise BinposeError(f"radius_cells must be in (0, max_radius_cells], got {self.radius_cells}.")
        if not 0 < self.foreground < 1:
            raise BinposeError(f"foreground must be in (0, 1), got {self.foreground}.")

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> "GroupingConfig":
        """From plain JSON data. Earlier versions stored `min_mass`, five times the support that they asked for."""
        known = {name: value for name, value in values.items() if name != "min_mass"}
        return cls(**known, **({"min_support": 0.2 * values["min_mass"]} if "min_mass" in values else {}))


def group_votes(
    votes: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    shape: tuple[int, int],
    config: GroupingConfig,
) -> npt.NDArray[np.int32]:
    """Assign votes to instances, the best supported centre first.

    Args:
        votes: (N, 2) voted centres (column, row) in cells; they may lie outside the grid.
        scales: (N,) their Laplace scales in cells.
        weights: (N,) probability of being a part.
        shape: rows and columns of the grid of cells.
        config: what makes an instance.

    Returns:
        (N,) index of the instance or -1. What one instance leaves unexplained votes again for the next one, so that
        touching parts separate.
    """
    labels = np.full(len(votes), -1, np.int32)
    if len(votes) == 0:
        return labels
    # Parts that the image cuts off have their centres outside of it.
    pad = max(shape) // 2
    accumulator = np.zeros((shape[0] + 2 * pad, shape[1] + 2 * pad), np.float32)
    cells = np.round(votes).astype(np.int64) + pad
    inside = np.all((cells >= 0) & (cells < accumulator.shape[::-1]), axis=1)
    cells = np.where(inside[:, None], cells, 0)
    mass = np.where(inside, weights / (1.0 + scales), 0.0)
    np.add.at(accumulator, (cells[:, 1], cells[:, 0]), mass)
    for instance in range(config.max_instances):
        smooth = cv2.GaussianBlur(accumulator, (0, 0), config.blur_cells)
        row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
        peak = np.array([column - pad, row - pad], np.float32)
        members = _members(votes, scales, labels, peak, config)
        if len(members) == 0 or mass[members].sum() < config.min_support:
            break
        accumulator[cells[members, 1], cells[members, 0]] = 0.0
        labels[members] = instance
    return labels


def _members(
    votes: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    peak: npt.NDArray[np.float32],
    config: GroupingConfig,
) -> npt.NDArray[np.int64]:
    """Free votes near the peak, whose place is refined once by their mean."""
    members = np.empty(0, np.int64)
    for _ in range(2):
        members = _near(votes, scales, labels, peak, config.radius_cells, config.spread, config.max_radius_cells)
        if len(members) == 0:
            break
        peak = np.median(votes[members], axis=0).astype(np.float32)
    return members


@njit(cache=True)
def _near(
    votes: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    peak: npt.NDArray[np.float32],
    radius: float,
    spread: float,
    max_radius: float,
) -> npt.NDArray[np.int64]:
    found = np.empty(votes.shape[0], np.int64)
    count = 0
    for i in range(votes.shape[0]):
        if labels[i] >= 0:
            continue
        reach = min(max(radius, spread * scales[i]), max_radius)
        du, dv = votes[i, 0] - peak[0], votes[i, 1] - peak[1]
        if du * du + dv * dv < reach * reach:
            found[count] = i
            count += 1
    return found[:count]
