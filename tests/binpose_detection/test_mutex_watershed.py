import numpy as np
import pytest

from binpose_detection.mutex_watershed import mutex_watershed


def regions(nodes: int, edges: list[tuple[int, int, float, bool]]) -> list[int]:
    one, other, strength, repels = zip(*edges, strict=True) if edges else ((), (), (), ())
    return mutex_watershed(
        nodes, np.array(one, int), np.array(other, int), np.array(strength, float), np.array(repels, bool)
    ).tolist()


def test_what_attracts_is_joined_and_the_rest_is_not() -> None:
    assert regions(4, [(0, 1, 0.2, False), (2, 3, 0.1, False)]) == [0, 0, 1, 1]
    assert regions(3, []) == [0, 1, 2]


@pytest.mark.parametrize(("repulsion", "expected"), [(0.5, [0, 0, 1, 1]), (0.3, [0, 0, 0, 0])])
def test_a_repulsion_holds_against_weaker_attraction_only(repulsion: float, expected: list[int]) -> None:
    chain = [(0, 1, 0.9, False), (2, 3, 0.8, False), (1, 2, 0.4, False)]
    assert regions(4, [*chain, (0, 3, repulsion, True)]) == expected


def test_a_repulsion_between_two_nodes_is_one_between_their_regions() -> None:
    """1 and 2 are apart, so whatever has joined them stays apart too, on either way."""
    edges = [(0, 1, 0.9, False), (2, 3, 0.9, False), (1, 2, 0.8, True), (0, 3, 0.7, False), (0, 2, 0.6, False)]
    assert regions(4, edges) == [0, 0, 1, 1]


def test_repulsions_outlive_their_regions_joining() -> None:
    edges = [(0, 3, 0.9, True), (0, 1, 0.8, False), (1, 2, 0.7, False), (3, 4, 0.6, False), (2, 4, 0.5, False)]
    assert regions(5, edges) == [0, 0, 0, 1, 1]


def brute_force(nodes: int, edges: list[tuple[int, int, float, bool]]) -> list[int]:
    """The definition: regions and exclusions as sets."""
    region = list(range(nodes))
    apart: set[frozenset[int]] = set()
    for one, other, _, repels in sorted(edges, key=lambda e: -int(e[2] * 65535)):
        a, b = region[one], region[other]
        if a == b:
            continue
        if repels:
            apart.add(frozenset((one, other)))
        elif not any({region[n] for n in pair} == {a, b} for pair in apart):
            region = [a if r == b else r for r in region]
    return np.unique(region, return_inverse=True)[1].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_are_divided_as_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = 25
    edges = [
        (int(a), int(b), float(rng.uniform()), bool(rng.uniform() < 0.4))
        for a, b in rng.integers(nodes, size=(120, 2))
        if a != b
    ]
    found, expected = regions(nodes, edges), brute_force(nodes, edges)
    same = np.equal.outer(found, found)
    np.testing.assert_array_equal(same, np.equal.outer(expected, expected))
