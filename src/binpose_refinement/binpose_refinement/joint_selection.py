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
    search = _Search(problem.take(useful))
    return sorted(int(useful[i]) for i in search.best())


class _Search:
    """Depth-first branch and bound over the groups.

    The gain of a hypothesis only falls when others are selected, so the sum over the groups of the largest gains bounds
    what can still be reached.
    """

    def __init__(self, problem: SelectionProblem) -> None:
        self._problem = problem
        self._blocked = problem.conflict | (problem.group[:, None] == problem.group[None])
        self._members = [np.flatnonzero(problem.group == g) for g in np.unique(problem.group)]
        self._found: list[int] = _greedy(problem, self._blocked)
        self._value = problem.objective(self._found)
        self._expanded = 0

    def best(self) -> list[int]:
        self._expand([], self._problem.weight.copy(), 0.0, list(range(len(self._members))))
        return self._found

    def _expand(self, chosen: list[int], gain: FloatArray, value: float, groups: list[int]) -> None:
        """Continue a partial set (its members' gains and those in conflict with it are 0 or less)."""
        self._expanded += 1
        tops = {g: float(gain[self._members[g]].max()) for g in groups}
        open_groups = [g for g in groups if tops[g] > 0]
        if value > self._value + TIE:
            self._found, self._value = list(chosen), value
        bound = value + sum(tops[g] for g in open_groups)
        if not open_groups or bound <= self._value + TIE or self._expanded > EXACT_NODES:
            return
        branch = max(open_groups, key=lambda g: (tops[g], -g))
        rest = [g for g in open_groups if g != branch]
        members = self._members[branch]
        for i in members[np.argsort(-gain[members], kind="stable")]:
            if gain[i] <= 0:
                break
            left = np.where(self._blocked[i], 0.0, gain - self._problem.cost[i])
            self._expand([*chosen, int(i)], left, value + float(gain[i]), rest)
        self._expand(chosen, gain, value, rest)


def _greedy(problem: SelectionProblem, blocked: npt.NDArray[np.bool_]) -> list[int]:
    """Largest gain first, then swaps of one hypothesis for a better set of others until none helps."""
    chosen = _filled(problem, blocked, [])
    improved = True
    while improved:
        improved = False
        for i in range(len(problem.weight)):
            if i in chosen:
                continue
            trial = _filled(problem, blocked, [i, *(j for j in chosen if not blocked[i, j])])
            if problem.objective(trial) > problem.objective(chosen) + TIE:
                chosen, improved = trial, True
    return chosen


def _filled(problem: SelectionProblem, blocked: npt.NDArray[np.bool_], start: list[int]) -> list[int]:
    """A set with everything added that still gains."""
    chosen = list(start)
    gain = problem.weight - problem.cost[:, chosen].sum(1)
    gain[blocked[:, chosen].any(1)] = 0.0
    while (best := int(gain.argmax())) >= 0 and gain[best] > 0:
        chosen.append(best)
        gain = np.where(blocked[best], 0.0, gain - problem.cost[best])
    return chosen
