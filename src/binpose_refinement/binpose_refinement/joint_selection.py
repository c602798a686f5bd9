"""The best set of hypotheses of a scene: a maximum-weight independent set with costs for what is explained twice.

The objective of a set is the sum of its weights, minus a cost for each of its pairs. Pairs in conflict cannot both be
selected. The problem falls apart into the connected components of the graph of conflicts and costs. Components up to
`EXACT_NODES` expanded nodes are solved exactly by branch and bound; a larger one keeps the best set found by then,
which is at least as good as the greedy one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.kernels.selection import best_set

EXACT_NODES = 2000
"""Nodes that branch and bound may expand in a component; piles of real parts need a few dozen."""
TIE = 1e-9
"""Sets whose objectives differ by less are equally good; the first one found stays."""


@dataclass(frozen=True, eq=False)
class SelectionProblem:
    """What may be selected together.

    weight: (N,) gain of each hypothesis, 0 or more.
    group: (N,) at most one hypothesis of each group is selected.
    conflict: (N, N) symmetric, pairs that exclude each other; pairs of one group do so anyway.
    cost: (N, N) symmetric, 0 or more, lost where both of a pair are selected.
    """

    weight: FloatArray
    group: npt.NDArray[np.int64]
    conflict: npt.NDArray[np.bool_]
    cost: FloatArray

    def objective(self, chosen: Sequence[int]) -> float:
        """The value of a set without conflicts."""
        rows = np.asarray(chosen, np.int64)
        return float(self.weight[rows].sum() - 0.5 * self.cost[np.ix_(rows, rows)].sum())

    def without(self, row: int) -> "SelectionProblem":
        """The same problem in which one hypothesis gains nothing."""
        weight = self.weight.copy()
        weight[row] = 0.0
        return SelectionProblem(weight, self.group, self.conflict, self.cost)

    def take(self, rows: npt.NDArray[np.int64]) -> "SelectionProblem":
        """The problem of some of the hypotheses."""
        pairs = np.ix_(rows, rows)
        return SelectionProblem(self.weight[rows], self.group[rows], self.conflict[pairs], self.cost[pairs])


def select_set(problem: SelectionProblem) -> tuple[list[int], FloatArray]:
    """The rows of the best set, and the margin of each of them.

    The margin (M,) is what the scene's objective loses without the hypothesis, after everything else was chosen anew.
    It is the hypothesis' own weight where nothing competes with it, and near 0 where another set is nearly as good.

    The result depends on the problem alone.
    """
    chosen: list[int] = []
    margins: list[float] = []
    for rows in _components(problem):
        if len(rows) == 1:  # most parts of a real bin compete with nothing
            chosen += [int(i) for i in rows if problem.weight[i] > 0]
            margins += [float(problem.weight[i]) for i in rows if problem.weight[i] > 0]
            continue
        part = problem.take(rows)
        best = _best_set(part)
        value = part.objective(best)
        for i in best:
            chosen.append(int(rows[i]))
            other = part.without(i)
            margins.append(value - other.objective(_best_set(other)))
    order = np.argsort(chosen)
    return [chosen[i] for i in order], np.maximum(np.array(margins, np.float64)[order], 0.0)


def _components(problem: SelectionProblem) -> list[npt.NDArray[np.int64]]:
    """The rows of each connected component."""
    same = problem.group[:, None] == problem.group[None]
    linked = problem.conflict | same | (problem.cost > 0)
    count, label = connected_components(csr_array(linked), directed=False)
    return [np.flatnonzero(label == i) for i in range(count)]


def _best_set(problem: SelectionProblem) -> list[int]:
    """The best set of a component."""
    useful = np.flatnonzero(problem.weight > 0)
    if len(useful) <= 1:
        return [int(i) for i in useful]
    part = problem.take(useful)
    _, group = np.unique(part.group, return_inverse=True)
    blocked = part.conflict | (group[:, None] == group[None])
    found = np.zeros(len(useful), np.bool_)
    best_set(part.weight, group, blocked, part.cost, EXACT_NODES, TIE, found)
    return [int(i) for i in useful[found]]
