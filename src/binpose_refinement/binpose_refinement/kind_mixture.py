"""Evidence from the other detections of a frame about which objects the bin contains."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch

DECISIVENESS = 8.0
"""Log-odds between two objects for each unit of the margin between their poses."""
PSEUDO_PARTS = 0.5
"""Prior number of parts of each object in a bin."""
ROUNDS = 10
LARGEST_LOG_ODDS = 4.0


def lead_over_rivals(score: FloatArray, rivals: npt.NDArray[np.int64]) -> FloatArray:
    """(B,) each score minus that of the best rival, or minus 0; rivals (P, 2) as from `PoseComparer.rivals`."""
    best = np.zeros(len(score))
    np.maximum.at(best, rivals[:, 0], score[rivals[:, 1]])
    np.maximum.at(best, rivals[:, 1], score[rivals[:, 0]])
    return score - best


def kind_mixture_evidence(
    batch: HypothesisBatch,
    score: FloatArray,
    kind: FloatArray,
    objects: int,
    same: npt.NDArray[np.int64] | None = None,
) -> FloatArray:
    """How much more frequent a pose's object is in the rest of the frame than its strongest rival, in [-1, 1].

    Bins mostly contain few kinds of parts. Where a detection alone does not decide between similar parts, the other
    detections do. The frequencies are those of a mixture model, fitted by expectation maximisation to the margins
    between the objects' poses, without the detection itself. The log-odds are weighted by how undecided the pose's own
    comparison is. This is the evidence `company`.

    Args:
        batch: B hypotheses.
        score: (B,) heuristic score of each.
        kind: (B,) margin over rivals of other objects, see `compare_pairwise`.
        objects: number of objects.
        same: pairs (P, 2) of detections that are proposals for the same pixels: they count as one, and none of them as
            one of the rest for the other. None: all are of different pixels.
    """
    company = np.zeros(len(batch))
    owners, place = np.unique(batch.owner, return_inverse=True)
    alike = _alike(owners, same)
    best = best_of_objects(batch, score, place, objects)
    there = best >= 0
    margin = np.where(there, kind[best], -1.0)
    weight = np.where(there, score[best], 0.0).max(1, initial=0.0) / alike.sum(1)
    votes = weight[:, None] * _responsibilities(margin, weight)
    others = np.maximum(votes.sum(0) - alike @ votes, 0.0) + PSEUDO_PARTS  # (D, K): of all other detections
    for i, (owner, part) in enumerate(zip(place, batch.part, strict=True)):
        rivals = np.flatnonzero(there[owner] & (np.arange(objects) != part))
        if len(rivals):
            log_odds = np.log(others[owner, part] / others[owner, rivals].max())
            undecided = 1.0 - min(abs(kind[i]), 1.0)
            company[i] = undecided * np.clip(log_odds / LARGEST_LOG_ODDS, -1.0, 1.0)
    return company


def _alike(owners: npt.NDArray[np.int64], same: npt.NDArray[np.int64] | None) -> csr_array:
    """(N, N) 1 for each detection and itself, and for the pairs of proposals for the same pixels; owners are rising."""
    rows = np.arange(len(owners))
    pairs = np.zeros((0, 2), np.int64) if same is None else same[np.isin(same, owners).all(1)]
    one, other = np.searchsorted(owners, pairs).T
    rows, columns = np.concatenate([rows, one, other]), np.concatenate([rows, other, one])
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(owners), len(owners)))


def best_of_objects(
    batch: HypothesisBatch, score: FloatArray, place: npt.NDArray[np.int64], objects: int
) -> npt.NDArray[np.int64]:
    """(D, K) row of the best pose of each detection and object, -1 without one; place (B,): index of the detection."""
    best = np.full((int(place.max(initial=-1)) + 1, objects), -1, np.int64)
    order = np.argsort(score, kind="stable")
    best[place[order], batch.part[order]] = order
    return best


def _responsibilities(margin: FloatArray, weight: FloatArray) -> FloatArray:
    """(D, K) probability of each object for each detection, from margins (D, K) and the detections' weights (D,)."""
    likelihood = np.exp(DECISIVENESS * margin)
    frequency = np.full(margin.shape[1], 1.0)
    for _ in range(ROUNDS):
        posterior = likelihood * frequency
        posterior /= posterior.sum(1, keepdims=True)
        frequency = PSEUDO_PARTS + (weight[:, None] * posterior).sum(0)
    return posterior
