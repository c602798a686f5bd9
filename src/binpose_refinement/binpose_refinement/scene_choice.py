"""The joint choice of a frame's poses: which verified hypotheses explain the scene best together.

The weight of a hypothesis with probability p is -log(1 - p), its own contribution to the log-probability that not all
are wrong. At most one hypothesis of a detection is selected. Two hypotheses exclude each other where they explain
largely the same pixels, or where their solids intersect. Smaller overlaps cost a part of the smaller weight.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.config import RefinerConfig
from binpose_refinement.joint_selection import SelectionProblem, select_set
from binpose_refinement.kernels.suppression import explained_boxes, overlap_fractions
from binpose_refinement.pool import HypothesisPool

LARGEST_PROBABILITY = 0.999
LEAST_WEIGHT = 1e-6
"""Of a hypothesis that explains some of its mask, however improbable: it is reported with its low score."""
NEGLIGIBLE = 0.02
"""Hypotheses below this probability are considered only as the best one of their detection."""
SCENE_EVIDENCE = (
    "rival",  # probability of the best set that competes with the pose; 0 where nothing does
    "later_look",  # 1 for a pose that only a later look at the frame found
    "covered",  # fraction of the pose's agreeing pixels that other selected poses explain too
)
"""Evidence that only the selected set as a whole gives."""

Intrusion = Callable[[int, int], float]
"""The larger fraction of the surface of one of two hypotheses that lies inside the other."""


@dataclass(frozen=True, eq=False)
class SceneChoice:
    """The selected rows of a pool.

    rows: (M,) in rising order. evidence: (M, len(SCENE_EVIDENCE)).
    rejected: the reason why the best row of each detection without a selected one was left out.
    """

    rows: npt.NDArray[np.int64]
    evidence: FloatArray
    rejected: dict[int, str]


def choose_jointly(
    pool: HypothesisPool,
    score: FloatArray,
    explains: npt.NDArray[np.bool_],
    intrusion: Intrusion,
    config: RefinerConfig,
) -> SceneChoice:
    """Select the rows of a pool that explain the scene best.

    Intersections are tested only for poses that are selected together; each one found becomes a constraint, and the
    selection is repeated. The result is that of testing all pairs.

    Args:
        pool: B hypotheses.
        score: (B,) probability of each.
        explains: (B,) whether it explains enough of its detection's mask.
        intrusion: of two rows.
        config: limits of overlap and intrusion.
    """
    considered = _considered(pool, score, explains)
    overlap = _overlaps(pool, considered)
    problem = _problem(pool, score, considered, overlap, config)
    tested: set[tuple[int, int]] = set()
    while True:
        chosen, margins = select_set(problem)
        rows = considered[chosen]
        found = [
            (i, j)
            for place, i in enumerate(chosen)
            for j in chosen[place + 1 :]
            if (i, j) not in tested and intrusion(considered[i], considered[j]) > config.intrusion_share
        ]
        tested.update((i, j) for place, i in enumerate(chosen) for j in chosen[place + 1 :])
        if not found:
            break
        for i, j in found:
            problem.conflict[i, j] = problem.conflict[j, i] = True
    rival = np.maximum(problem.weight[chosen] - margins, 0.0)
    covered = np.clip(overlap[np.ix_(chosen, chosen)].sum(1), 0.0, 1.0)
    evidence = np.column_stack([-np.expm1(-rival), pool.look[rows] > 0, covered]).reshape(-1, len(SCENE_EVIDENCE))
    reasons = _reasons(pool, score, explains, considered, overlap, problem, rows, config)
    return SceneChoice(rows, evidence.astype(np.float64), reasons)


def _considered(pool: HypothesisPool, score: FloatArray, explains: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The rows worth considering, in rising order: all but hopeless ones, and the best one of each detection."""
    usable = np.flatnonzero(explains)
    order = usable[np.lexsort((-score[usable], pool.batch.owner[usable]))]
    _, first = np.unique(pool.batch.owner[order], return_index=True)
    keep = score[usable] >= NEGLIGIBLE
    return np.union1d(usable[keep], order[first]).astype(np.int64)


def _overlaps(pool: HypothesisPool, rows: npt.NDArray[np.int64]) -> FloatArray:
    """(N, N) larger fraction of the agreeing pixels that two of the rows have in common; 0 within a detection."""
    count = len(rows)
    explained = np.ascontiguousarray(pool.evidence.explained[rows])
    windows = np.ascontiguousarray(pool.evidence.windows[rows])
    boxes, totals = np.zeros((count, 4), np.int64), np.zeros(count, np.int64)
    explained_boxes(explained, windows, boxes, totals)
    low, high = boxes[:, :2], boxes[:, 2:]
    near = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(-1)
    near &= pool.batch.owner[rows][:, None] != pool.batch.owner[rows][None]
    pairs = np.argwhere(np.triu(near, 1)).astype(np.int64)
    fractions = np.zeros(len(pairs))
    overlap_fractions(explained, windows, boxes, totals, pairs, fractions)
    overlap = np.zeros((count, count))
    overlap[pairs[:, 0], pairs[:, 1]] = overlap[pairs[:, 1], pairs[:, 0]] = fractions
    return overlap


def _problem(
    pool: HypothesisPool, score: FloatArray, rows: npt.NDArray[np.int64], overlap: FloatArray, config: RefinerConfig
) -> SelectionProblem:
    weight = np.maximum(-np.log1p(-np.clip(score[rows], 0.0, LARGEST_PROBABILITY)), LEAST_WEIGHT)
    free = config.free_overlap
    excess = np.clip((overlap - free) / max(config.claimed_share - free, 1e-9), 0.0, 1.0)
    cost = excess * np.minimum(weight[:, None], weight[None])
    return SelectionProblem(weight, pool.batch.owner[rows], overlap > config.claimed_share, cost)


def _reasons(
    pool: HypothesisPool,
    score: FloatArray,
    explains: npt.NDArray[np.bool_],
    considered: npt.NDArray[np.int64],
    overlap: FloatArray,
    problem: SelectionProblem,
    chosen: npt.NDArray[np.int64],
    config: RefinerConfig,
) -> dict[int, str]:
    """Why each detection without a selected row has none, by its best row."""
    owner = pool.batch.owner
    place = {int(row): i for i, row in enumerate(considered)}
    selected = [place[int(row)] for row in chosen]
    reasons: dict[int, str] = {}
    for owned in set(owner.tolist()) - set(owner[chosen].tolist()):
        rows = np.flatnonzero((owner == owned) & explains)
        if not len(rows):
            reasons[owned] = "no_overlap"
            continue
        best = place[int(rows[np.argmax(score[rows])])]
        shared = overlap[best, selected].max(initial=0.0) > config.claimed_share
        inside = not shared and problem.conflict[best, selected].any()
        reasons[owned] = "inside_another" if inside else "duplicate"
    return reasons
