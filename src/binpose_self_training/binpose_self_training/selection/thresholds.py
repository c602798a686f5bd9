"""Thresholds that adapt to the recorded data: of the distances of paper 002, and of the agreement with the depth."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_self_training.selection.evidence import LabelEvidence

FEWEST_OF_A_PART = 12
"""Poses of a part below which the thresholds of all parts together are used for it."""
DEPTH_DEVIATIONS = 1.5
"""Standard deviations below the mean of probable poses at which the least agreement with the depth lies."""


@dataclass(frozen=True)
class Threshold:
    """Largest d_a and d_g of a pseudo label, and its least agreement with the depth."""

    d_a: float
    d_g: float
    depth_agreement: float = 0.0


@dataclass(frozen=True)
class Thresholds:
    """Thresholds by part, and those of all parts together, which hold for parts with few poses."""

    parts: Mapping[str, Threshold]
    common: Threshold

    def of(self, object_id: str) -> Threshold:
        """The thresholds for a part."""
        return self.parts.get(object_id, self.common)


def adapted_thresholds(evidence: Iterable[LabelEvidence], deviations: float = 1.0, score: float = 0.5) -> Thresholds:
    """Mean plus `deviations` standard deviations of d_a and d_g (paper 002, section 3.3), for each part by itself.

    Of the agreement with the depth, the mean minus DEPTH_DEVIATIONS of probable poses: a coarse sensor agrees less with
    right poses too.

    Args:
        evidence: for the teacher's poses on the recorded frames.
        deviations: 1 in the paper.
        score: from which a pose is probable.
    """
    all_of = list(evidence)
    by_part: dict[str, list[LabelEvidence]] = {}
    for entry in all_of:
        by_part.setdefault(entry.object_id, []).append(entry)
    enough = {name: own for name, own in by_part.items() if len(own) >= FEWEST_OF_A_PART}
    parts = {name: _threshold(own, deviations, score) for name, own in sorted(enough.items())}
    return Thresholds(parts, _threshold(all_of, deviations, score))


def _threshold(evidence: list[LabelEvidence], deviations: float, score: float) -> Threshold:
    d_a, d_g = (np.array([getattr(entry, name) for entry in evidence]) for name in ("d_a", "d_g"))
    agreement = np.array([entry.depth_agreement for entry in evidence if entry.score >= score])
    return Threshold(_limit(d_a, deviations), _limit(d_g, deviations), _least(agreement))


def _least(values: FloatArray) -> float:
    """Mean minus DEPTH_DEVIATIONS of the finite values (N,); 0 without any."""
    finite = values[np.isfinite(values)]
    return float(max(0.0, finite.mean() - DEPTH_DEVIATIONS * finite.std())) if len(finite) else 0.0


def _limit(values: FloatArray, deviations: float) -> float:
    """Mean plus deviation of the finite values (N,); infinite without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean() + deviations * finite.std()) if len(finite) else float("inf")
