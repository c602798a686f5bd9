"""Evidence that a frame's other hypotheses give."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray
from binpose_refinement.batch import Batch

PSEUDO_VOTES = 1.0
"""Votes that belong to no object: few certain parts say little about a bin."""


def lead_over_rivals(score: FloatArray, rivals: npt.NDArray[np.int64]) -> FloatArray:
    """(B,) each score minus that of the best rival, minus 0 without one; rivals (P, 2) as of `PoseComparer.rivals`."""
    best = np.zeros(len(score))
    np.maximum.at(best, rivals[:, 0], score[rivals[:, 1]])
    np.maximum.at(best, rivals[:, 1], score[rivals[:, 0]])
    return score - best


def company_of(batch: Batch, score: FloatArray, kind: FloatArray, objects: int) -> FloatArray:
    """How much more of the frame is of a pose's object than of its strongest rival object, in [-1, 1].

    Bins mostly hold few kinds of parts. Where a detection alone does not decide between parts that look alike, the
    detections that are decided do: each votes for the object of its best pose. The difference of the two objects'
    shares of the votes counts as far as the pose's own comparison is undecided.

    Args:
        batch: B hypotheses.
        score: (B,) heuristic score of each.
        kind: (B,) margin over rivals of other objects, see `duels`.
        objects: number of objects.
    """
    company = np.zeros(len(batch))
    owners = np.unique(batch.owner)
    best = np.array([_best(batch, score, owner) for owner in owners], np.int64)
    votes = np.zeros((len(owners), objects))
    if len(owners):
        votes[np.arange(len(owners)), batch.part[best]] = score[best] * np.clip(kind[best], 0.0, 1.0)
    for owner, own in zip(owners, votes, strict=True):
        rows = np.flatnonzero(batch.owner == owner)
        others = votes.sum(0) - own
        share = others / (others.sum() + PSEUDO_VOTES)
        for i in rows:
            rivals = rows[batch.part[rows] != batch.part[i]]
            if len(rivals):
                rival = rivals[np.argmax(score[rivals])]
                undecided = 1.0 - np.clip(kind[i], 0.0, 1.0)
                company[i] = undecided * (share[batch.part[i]] - share[batch.part[rival]])
    return company


def _best(batch: Batch, score: FloatArray, owner: int) -> int:
    rows = np.flatnonzero(batch.owner == owner)
    return int(rows[np.argmax(score[rows])])
