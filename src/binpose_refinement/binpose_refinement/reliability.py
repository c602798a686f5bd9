"""Calibration error of scores."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: per bin of the score, (K,) edges [low, high), counts, mean score, fraction correct."""

    low: FloatArray
    high: FloatArray
    count: npt.NDArray[np.int64]
    mean_score: FloatArray
    share_correct: FloatArray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between score and fraction correct, weighted by the counts (ECE)."""
        total = max(int(self.count.sum()), 1)
        return float((self.count * np.abs(self.mean_score - self.share_correct)).sum() / total)


def reliability(scores: FloatArray, correct: npt.NDArray[np.bool_], bins: int = 10) -> Reliability:
    """Bin scores (N,) in [0, 1] against labels (N,); empty bins have their midpoint, 0 correct and count 0."""
    scores, correct = np.asarray(scores, np.float64), np.asarray(correct, np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    safe = np.maximum(count, 1)
    mean = np.where(count > 0, np.bincount(index, scores, bins) / safe, (edges[:-1] + edges[1:]) / 2)
    return Reliability(edges[:-1], edges[1:], count, mean, np.bincount(index, correct, bins) / safe)
