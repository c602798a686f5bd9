"""The selection is that of brute force, and never loses by a larger choice."""

from itertools import combinations

import numpy as np
import pytest

from binpose_refinement import joint_selection
from binpose_refinement.joint_selection import SelectionProblem, select_set


def problem(seed: int, count: int, groups: int, density: float = 0.2) -> SelectionProblem:
    rng = np.random.default_rng(seed)
    weight = rng.exponential(1.0, count)
    upper = np.triu(rng.random((count, count)) < density, 1)
    costly = np.triu(rng.random((count, count)) < density, 1) * rng.random((count, count))
    return SelectionProblem(weight, rng.integers(groups, size=count), upper | upper.T, costly + costly.T)


def feasible(p: SelectionProblem, rows: tuple[int, ...]) -> bool:
    pairs = list(combinations(rows, 2))
    return not any(p.conflict[i, j] or p.group[i] == p.group[j] for i, j in pairs)


def brute_force(p: SelectionProblem) -> float:
    count = len(p.weight)
    sets = (s for size in range(count + 1) for s in combinations(range(count), size))
    return max(p.objective(s) for s in sets if feasible(p, s))


def largest_gains_first(p: SelectionProblem) -> list[int]:
    chosen: list[int] = []
    while True:
        trials = [[*chosen, i] for i in range(len(p.weight)) if i not in chosen and feasible(p, (*chosen, i))]
        best = max(trials, key=p.objective, default=chosen)
        if p.objective(best) <= p.objective(chosen):
            return chosen
        chosen = best


@pytest.mark.parametrize("seed", range(40))
def test_the_set_is_as_good_as_that_of_brute_force(seed: int) -> None:
    p = problem(seed, 12, 7)
    chosen, _ = select_set(p)
    assert feasible(p, tuple(chosen))
    assert p.objective(chosen) == pytest.approx(brute_force(p))


@pytest.mark.parametrize("seed", range(20))
def test_margins_are_what_is_lost_without_a_hypothesis(seed: int) -> None:
    p = problem(seed, 10, 6)
    chosen, margins = select_set(p)
    for i, margin in zip(chosen, margins, strict=True):
        rest = np.array([j for j in range(10) if j != i])
        assert margin == pytest.approx(brute_force(p) - brute_force(p.take(rest)), abs=1e-9)
        assert margin <= p.weight[i] + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_a_larger_choice_never_lowers_the_objective(seed: int) -> None:
    p, rng = problem(seed, 40, 15), np.random.default_rng(seed)
    order = rng.permutation(40)
    values = []
    for count in range(10, 41, 5):
        part = p.take(np.sort(order[:count]))
        values.append(part.objective(select_set(part)[0]))
    assert (np.diff(values) >= -1e-9).all()


def test_a_true_pose_with_more_evidence_than_what_it_conflicts_with_is_selected() -> None:
    p = problem(3, 30, 12)
    weight = np.append(p.weight, p.weight.sum() + 1.0)
    larger = SelectionProblem(
        weight, np.append(p.group, 99), np.pad(p.conflict, (0, 1), constant_values=True), np.pad(p.cost, (0, 1))
    )
    assert 30 in select_set(larger)[0]


def test_the_order_of_hypotheses_does_not_matter() -> None:
    p, order = problem(5, 30, 12), np.random.default_rng(1).permutation(30)
    assert sorted(order[select_set(p.take(order))[0]]) == select_set(p)[0]


def test_two_right_poses_beat_a_weaker_one_that_covers_both_and_lose_against_a_stronger_one() -> None:
    conflict = np.zeros((3, 3), bool)
    conflict[0, 1:] = conflict[1:, 0] = True
    for weight, expected in (((1.5, 1.0, 1.0), [1, 2]), ((2.5, 1.0, 1.0), [0])):
        p = SelectionProblem(np.array(weight), np.arange(3), conflict, np.zeros((3, 3)))
        assert select_set(p)[0] == expected


def test_a_component_that_is_too_large_keeps_a_set_as_good_as_the_greedy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(8, 60, 40, density=0.3)
    exact = p.objective(select_set(p)[0])
    monkeypatch.setattr(joint_selection, "EXACT_NODES", 1)
    found, _ = select_set(p)
    assert feasible(p, tuple(found))
    assert exact >= p.objective(found) >= p.objective(largest_gains_first(p)) - 1e-9


def test_nothing_is_selected_from_nothing() -> None:
    empty = SelectionProblem(np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 0), bool), np.zeros((0, 0)))
    chosen, margins = select_set(empty)
    assert chosen == [] and margins.shape == (0,)
