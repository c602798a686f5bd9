"""Grids of cells with known parts: what a network says of them is grouped into these parts again."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_detection.grouping import GroupingConfig, group_cells
from binpose_detection.network import OUTPUT_STRIDE, STEPS
from binpose_detection.votes import Votes

GRID = (60, 80)
FLAT = np.full(GRID, 500.0, np.float32)


def told(parts: np.ndarray, centers: list[tuple[float, float]], scale: float = 0.5, affinities: bool = True) -> Votes:
    """What a network says of the parts (h, w), -1 = none, with centres (column, row) in cells."""
    foreground = np.where(parts >= 0, 0.98, 0.02).astype(np.float32)
    place = np.array([*centers, (0, 0)], np.float32)[parts]
    center_px = place * OUTPUT_STRIDE + np.float32((OUTPUT_STRIDE - 1) / 2)
    affinity = np.zeros((len(STEPS), *GRID), np.float32)
    rows, columns = np.indices(GRID)
    for channel, (down, right) in enumerate(STEPS):
        row, column = np.clip(rows + down, 0, GRID[0] - 1), np.clip(columns + right, 0, GRID[1] - 1)
        affinity[channel] = np.where((parts[row, column] == parts) & (parts >= 0), 0.95, 0.05)
    return Votes(
        np.stack([1 - foreground, foreground]),
        center_px.astype(np.float32),
        np.zeros(GRID, np.float32),
        np.full(GRID, scale * OUTPUT_STRIDE, np.float32),
        affinity if affinities else affinity[:0],
    )


def boxes(*corners: tuple[int, int, int, int]) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Parts that fill rows top..bottom-1 and columns left..right-1, later ones in front, and their centres."""
    parts = np.full(GRID, -1)
    for number, (top, bottom, left, right) in enumerate(corners):
        parts[top:bottom, left:right] = number
    return parts, [((left + right - 1) / 2, (top + bottom - 1) / 2) for top, bottom, left, right in corners]


def assert_grouped(labels: np.ndarray, parts: np.ndarray) -> None:
    for number in np.unique(parts[parts >= 0]):
        assert len(np.unique(labels[parts == number])) == 1
    kept = labels >= 0
    np.testing.assert_array_equal(kept, parts >= 0)
    assert len(np.unique(labels[kept])) == len(np.unique(parts[parts >= 0]))


@pytest.mark.parametrize("affinities", [True, False])
def test_touching_parts_are_told_apart(affinities: bool) -> None:
    parts, centers = boxes((10, 25, 10, 30), (25, 45, 10, 30), (10, 30, 30, 50))
    labels = group_cells(told(parts, centers, affinities=affinities), FLAT, GroupingConfig())
    assert_grouped(labels, parts)


@pytest.mark.parametrize("affinities", [True, False])
def test_a_part_that_another_one_divides_is_one_instance(affinities: bool) -> None:
    parts, centers = boxes((20, 32, 5, 70), (5, 55, 30, 42))
    labels = group_cells(told(parts, centers, affinities=affinities), FLAT, GroupingConfig())
    assert_grouped(labels, parts)


def test_like_parts_side_by_side_are_not_joined_by_vague_centres() -> None:
    """Vague votes reach far, but never farther than `max_distance_cells`."""
    parts, centers = boxes((10, 30, 10, 18), (10, 30, 18, 26))
    votes = told(parts, centers, scale=9.0)
    assert_grouped(group_cells(votes, FLAT, GroupingConfig(min_support=1.0)), parts)
    joined = group_cells(votes, FLAT, GroupingConfig(min_support=1.0, max_distance_cells=10.0))
    assert len(np.unique(joined[joined >= 0])) == 1


def test_affinities_divide_what_votes_alone_cannot() -> None:
    """The votes of both parts are vague and lie between them: only the border tells them apart."""
    parts, _ = boxes((10, 30, 10, 30), (10, 30, 30, 50))
    votes = told(parts, [(29.0, 19.5), (31.0, 19.5)], scale=3.0)
    config = GroupingConfig(min_support=1.0, max_distance_cells=1.5)
    assert_grouped(group_cells(votes, FLAT, config), parts)
    blind = group_cells(replace(votes, affinity=votes.affinity[:0]), FLAT, config)
    assert len(np.unique(blind[blind >= 0])) == 1


def test_without_affinities_a_step_in_depth_divides() -> None:
    parts, _ = boxes((10, 30, 10, 30), (10, 30, 30, 50))
    votes = told(parts, [(26.0, 19.5), (34.0, 19.5)], scale=1.5, affinities=False)
    config = GroupingConfig(min_support=1.0)
    stepped = np.where(parts == 1, np.float32(480.0), FLAT)
    flat, divided = group_cells(votes, FLAT, config), group_cells(votes, stepped, config)
    assert len(np.unique(divided[divided >= 0])) == 2 >= len(np.unique(flat[flat >= 0]))
    assert_grouped(divided, parts)


def test_the_best_supported_comes_first() -> None:
    parts, centers = boxes((5, 10, 5, 12), (20, 50, 20, 60))
    labels = group_cells(told(parts, centers), FLAT, GroupingConfig())
    assert (labels[parts == 1] == 0).all() and (labels[parts == 0] == 1).all()


@pytest.mark.parametrize("center", [(-12.0, 30.0), (30.0, -15.0), (95.0, 30.0), (1e7, -1e7)])
def test_a_centre_may_be_anywhere(center: tuple[float, float]) -> None:
    parts, centers = boxes((10, 30, 10, 30), (35, 55, 40, 60))
    assert_grouped(group_cells(told(parts, [center, centers[1]]), FLAT, GroupingConfig()), parts)


def test_no_more_instances_than_allowed_and_the_largest_of_them() -> None:
    parts, centers = boxes(*((6, 10 + k, 2 + 13 * k, 12 + 13 * k) for k in range(6)))
    labels = group_cells(told(parts, centers), FLAT, GroupingConfig(max_instances=3))
    assert set(np.unique(parts[labels >= 0])) == {3, 4, 5}


def test_small_and_doubtful_regions_are_no_instances() -> None:
    parts, centers = boxes((10, 13, 10, 13), (30, 50, 30, 50))
    votes = told(parts, centers)
    assert (group_cells(votes, FLAT, GroupingConfig(min_cells=10))[parts == 0] == -1).all()
    assert (group_cells(votes, FLAT, GroupingConfig(min_cells=9))[parts == 0] == 1).all()
    support = 400 * 0.98 / 1.5
    assert (group_cells(votes, FLAT, GroupingConfig(min_support=support - 1))[parts == 1] == 0).all()
    assert (group_cells(votes, FLAT, GroupingConfig(min_support=support + 1)) == -1).all()


def test_nothing_in_nothing_out() -> None:
    labels = group_cells(told(np.full(GRID, -1), []), FLAT, GroupingConfig())
    assert labels.shape == GRID and (labels == -1).all()


def test_unknown_depth_divides_nothing_by_itself() -> None:
    parts, centers = boxes((10, 30, 10, 30))
    holes = FLAT.copy()
    holes[12:28:3, 12:28:2] = 0
    assert_grouped(group_cells(told(parts, centers, affinities=False), holes, GroupingConfig()), parts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"foreground": 1}, "foreground"), ({"repulsion": 0}, "repulsion"), ({"same_center": -1}, "same_center")],
)
def test_nonsense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        GroupingConfig(**changes)
