"""Thresholds that adapt to the recorded data: mean plus deviation of each distance, per part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_self_training.selection.evidence import LabelEvidence

FEWEST_OF_A_PART = 12
"""Poses of a part below which the thresholds of all parts together are used for it."""


@dataclass(frozen=True)
class Threshold:
    """Largest d_a and d_g of a pseudo label."""

    d_a: float
    d_g: float


@dataclass(frozen=True)
class Thresholds:
    """Thresholds by part, and those of all parts together, which hold for parts with few poses."""

    parts: Mapping[str, Threshold]
    common: Threshold

    def of(self, object_id: str) -> Threshold:
        """The thresholds for a part."""
        return self.parts.get(object_id, self.common)


def adapted_thresholds(evidence: Iterable[LabelEvidence], deviations: float = 1.0) -> Thresholds:
    """Mean plus `deviations` standard deviations of d_a and d_g (paper 002, section 3.3), for each part by itself.

    Args:
        evidence: for the teacher's poses on the recorded frames.
        deviations: 1 in the paper.
    """
    all_of = list(evidence)
    by_part: dict[str, list[LabelEvidence]] = {}
    for entry in all_of:
        by_part.setdefault(entry.object_id, []).append(entry)
    enough = {name: own for name, own in by_part.items() if len(own) >= FEWEST_OF_A_PART}
    parts = {name: _threshold(own, deviations) for name, own in sorted(enough.items())}
    return Thresholds(parts, _threshold(all_of, deviations))


def _threshold(evidence: list[LabelEvidence], deviations: float) -> Threshold:
    d_a, d_g = (np.array([getattr(entry, name) for entry in evidence]) for name in ("d_a", "d_g"))
    return Threshold(_limit(d_a, deviations), _limit(d_g, deviations))


def _limit(values: FloatArray, deviations: float) -> float:
    """Mean plus deviation of the finite values (N,); infinite without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean() + deviations * finite.std()) if len(finite) else float("inf")
