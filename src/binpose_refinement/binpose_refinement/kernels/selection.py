# mypy: disable-error-code="no-untyped-def"
"""The best set of hypotheses of one component: greedy, then depth-first branch and bound over the groups."""

import numpy as np
from numba import njit

SKIPPED = -1


@njit(cache=True)
def best_set(weight, group, blocked, cost, limit, tie, found):
    """Mark in found (N,) the best set; at most `limit` nodes are expanded.

    weight: (N,). group: (N,) of 0 to G - 1. blocked, cost: (N, N), the first with the pairs of one group. A set has to
    be better by more than `tie` to replace one.
    """
    _greedy(weight, blocked, cost, tie, found)
    _branch_and_bound(weight, group, blocked, cost, limit, tie, found)


@njit(cache=True)
def _branch_and_bound(weight, group, blocked, cost, limit, tie, found):
    """Mark in found (N,) a better set than the one marked there, if there is one.

    The gain of a hypothesis only falls when others are selected, so the sum over the groups of the largest gains bounds
    what can still be reached. At each depth, one group is decided: each of its members in turn, then none.
    """
    count, groups = len(weight), group.max() + 1
    best = _objective(weight, cost, found)
    top = np.empty(groups)
    gain, value = np.empty((groups + 1, count)), np.zeros(groups + 1)
    opened, open_count = np.empty((groups + 1, groups), np.int64), np.zeros(groups + 1, np.int64)
    order, order_count = np.empty((groups + 1, count), np.int64), np.zeros(groups + 1, np.int64)
    following, selected = np.zeros(groups + 1, np.int64), np.full(groups + 1, SKIPPED)
    gain[0] = weight
    opened[0] = np.arange(groups)
    open_count[0] = groups
    expanded, depth, entered = 0, 0, True
    while depth >= 0:
        if entered:
            entered = False
            expanded += 1
            if value[depth] > best + tie:
                best = value[depth]
                found[:] = False
                for d in range(depth):
                    if selected[d] != SKIPPED:
                        found[selected[d]] = True
            bound = _opened(gain[depth], group, opened[depth], open_count, depth, top)
            if open_count[depth] == 0 or value[depth] + bound <= best + tie or expanded > limit:
                depth -= 1
                continue
            branch = _largest(top, opened[depth], open_count[depth])
            open_count[depth] = _without(opened[depth], open_count[depth], branch)
            order_count[depth] = _ordered(gain[depth], group, branch, order[depth])
            following[depth] = 0
        place = following[depth]
        if place > order_count[depth]:
            depth -= 1
            continue
        following[depth] += 1
        if place < order_count[depth]:
            i = order[depth, place]
            selected[depth] = i
            value[depth + 1] = value[depth] + gain[depth, i]
            for j in range(count):
                gain[depth + 1, j] = 0.0 if blocked[i, j] else gain[depth, j] - cost[i, j]
        else:
            selected[depth] = SKIPPED
            value[depth + 1] = value[depth]
            gain[depth + 1] = gain[depth]
        opened[depth + 1] = opened[depth]
        open_count[depth + 1] = open_count[depth]
        depth += 1
        entered = True


@njit(cache=True)
def _opened(gain, group, opened, open_count, depth, top):
    """Keep in `opened` the groups that still gain, set their largest gains in `top`, and return the sum of these."""
    top[:] = -np.inf
    for i in range(len(gain)):
        top[group[i]] = max(top[group[i]], gain[i])
    kept, bound = 0, 0.0
    for place in range(open_count[depth]):
        one = opened[place]
        if top[one] > 0.0:
            opened[kept] = one
            kept += 1
            bound += top[one]
    open_count[depth] = kept
    return bound


@njit(cache=True)
def _largest(top, opened, count):
    """The open group with the largest gain; of equal ones the first."""
    best = opened[0]
    for place in range(1, count):
        if top[opened[place]] > top[best]:
            best = opened[place]
    return best


@njit(cache=True)
def _without(opened, count, group):
    """Take a group out of `opened`, and return how many are left."""
    kept = 0
    for place in range(count):
        if opened[place] != group:
            opened[kept] = opened[place]
            kept += 1
    return kept


@njit(cache=True)
def _ordered(gain, group, branch, order):
    """Write to `order` the members of a group that gain, the largest gain first, and return their number."""
    count = 0
    for i in range(len(gain)):
        if group[i] != branch or gain[i] <= 0.0:
            continue
        place = count
        while place > 0 and gain[order[place - 1]] < gain[i]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = i
        count += 1
    return count


@njit(cache=True)
def _greedy(weight, blocked, cost, tie, found):
    """Largest gain first, then swaps of one hypothesis for a better set of others until none helps."""
    _fill(weight, blocked, cost, found)
    best, improved = _objective(weight, cost, found), True
    trial = np.empty_like(found)
    while improved:
        improved = False
        for i in range(len(weight)):
            if found[i]:
                continue
            for j in range(len(weight)):
                trial[j] = found[j] and not blocked[i, j]
            trial[i] = True
            _fill(weight, blocked, cost, trial)
            value = _objective(weight, cost, trial)
            if value > best + tie:
                best, improved = value, True
                found[:] = trial


@njit(cache=True)
def _fill(weight, blocked, cost, chosen):
    """Add to the chosen ones everything that still gains, the largest gain first."""
    gain = weight.copy()
    for i in range(len(weight)):
        if chosen[i]:
            _select(gain, blocked, cost, i)
    while True:
        best = np.argmax(gain)
        if gain[best] <= 0.0:
            return
        chosen[best] = True
        _select(gain, blocked, cost, best)


@njit(cache=True)
def _select(gain, blocked, cost, i):
    """Lower the gains as the selection of one hypothesis does."""
    for j in range(len(gain)):
        gain[j] = 0.0 if blocked[i, j] else gain[j] - cost[i, j]


@njit(cache=True)
def _objective(weight, cost, chosen):
    """The value of a set without conflicts."""
    value = 0.0
    for i in range(len(weight)):
        if chosen[i]:
            value += weight[i]
            for j in range(i):
                if chosen[j]:
                    value -= cost[i, j]
    return value
