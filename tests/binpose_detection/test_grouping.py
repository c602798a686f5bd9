import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_detection.grouping import GroupingConfig, group_votes

GRID = (60, 80)


def blob(center: tuple[float, float], count: int, rng: np.random.Generator, spread: float = 0.8) -> np.ndarray:
    return (center + rng.normal(0, spread, (count, 2))).astype(np.float32)


def group(blobs: list[np.ndarray], config: GroupingConfig | None = None, scale: float = 0.5) -> list[np.ndarray]:
    """Labels of the votes of each blob."""
    votes = np.concatenate(blobs)
    scales, weights = np.full(len(votes), scale, np.float32), np.ones(len(votes), np.float32)
    labels = group_votes(votes, scales, weights, GRID, config or GroupingConfig())
    return np.split(labels, np.cumsum([len(b) for b in blobs])[:-1])


def most_common(labels: np.ndarray) -> int:
    assert (labels >= 0).any()
    return int(np.bincount(labels[labels >= 0]).argmax())


def test_two_touching_parts_are_told_apart(rng: np.random.Generator) -> None:
    """Their cells touch, their centres do not: seven cells apart is enough."""
    one, other = group([blob((30, 30), 150, rng), blob((37, 30), 120, rng)])
    assert most_common(one) != most_common(other)
    assert (one == most_common(one)).mean() > 0.95 and (other == most_common(other)).mean() > 0.95


def test_one_part_is_one_instance(rng: np.random.Generator) -> None:
    (labels,) = group([blob((30, 30), 200, rng)])
    assert (labels == 0).mean() > 0.98


def test_vague_votes_of_one_part_stay_together(rng: np.random.Generator) -> None:
    """Votes that say how far they may be off are gathered from as far; precise ones are not."""
    votes = blob((30, 30), 200, rng, spread=2.5)
    (vague,) = group([votes], scale=2.5)
    (precise,) = group([votes], scale=0.1)
    assert (vague == 0).mean() > 0.95 > (precise == 0).mean()


def test_the_best_supported_centre_comes_first(rng: np.random.Generator) -> None:
    small, large = group([blob((20, 20), 40, rng), blob((60, 40), 200, rng)])
    assert most_common(large) == 0 and most_common(small) == 1


@pytest.mark.parametrize("center", [(-12.0, 30.0), (30.0, -15.0), (95.0, 30.0), (40.0, 75.0)])
def test_a_part_whose_centre_is_outside_the_image_hides_no_other(center, rng: np.random.Generator) -> None:
    outside, inside = group([blob(center, 300, rng), blob((40, 30), 60, rng)])
    assert (outside == most_common(outside)).mean() > 0.95
    assert (inside == most_common(inside)).mean() > 0.95
    assert most_common(outside) != most_common(inside)


def test_absurd_votes_hide_no_part(rng: np.random.Generator) -> None:
    absurd = np.full((400, 2), 1e7, np.float32) * rng.choice([-1, 1], (400, 2)).astype(np.float32)
    _, inside = group([absurd, blob((40, 30), 60, rng)])
    assert (inside == most_common(inside)).mean() > 0.95


def test_no_more_instances_than_allowed(rng: np.random.Generator) -> None:
    blobs = [blob((x, y), 40, rng) for x in (10, 30, 50, 70) for y in (10, 30, 50)]
    labels = np.concatenate(group(blobs))
    assert len(np.unique(labels[labels >= 0])) >= 12
    limited = np.concatenate(group(blobs, GroupingConfig(max_instances=5)))
    assert limited.max() == 4 and (limited == -1).any()


def test_nothing_in_nothing_out() -> None:
    labels = group_votes(
        np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32), GRID, GroupingConfig()
    )
    assert labels.shape == (0,)


def test_lonely_votes_are_no_instance(rng: np.random.Generator) -> None:
    votes = rng.uniform(0, 1, (20, 2)).astype(np.float32) * [80, 60]
    labels = group_votes(
        votes.astype(np.float32),
        np.full(20, 3.0, np.float32),
        np.full(20, 0.6, np.float32),
        GRID,
        GroupingConfig(max_radius_cells=3),
    )
    assert np.bincount(labels[labels >= 0], minlength=1).max() < GroupingConfig().min_cells


def test_an_instance_needs_the_support_of_its_votes(rng: np.random.Generator) -> None:
    """30 votes that count for 1 / 1.5 each support 20."""
    votes = [blob((40, 30), 30, rng)]
    assert (group(votes, GroupingConfig(min_support=19.9))[0] == 0).all()
    assert (group(votes, GroupingConfig(min_support=20.1))[0] == -1).all()


def test_the_order_of_the_votes_does_not_matter(rng: np.random.Generator) -> None:
    votes = np.concatenate([blob((20, 20), 80, rng), blob((30, 24), 60, rng), blob((60, 40), 100, rng)])
    scales, weights = rng.uniform(0.2, 1, len(votes)).astype(np.float32), np.ones(len(votes), np.float32)
    order = rng.permutation(len(votes))
    one = group_votes(votes, scales, weights, GRID, GroupingConfig())
    other = group_votes(votes[order], scales[order], weights[order], GRID, GroupingConfig())
    np.testing.assert_array_equal(one[order], other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"radius_cells": 0}, "radius_cells"), ({"radius_cells": 20}, "radius_cells"), ({"foreground": 1}, "foreground")],
)
def test_nonsense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        GroupingConfig(**changes)
