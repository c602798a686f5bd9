"""Which views are relied on, and that no sure part is lost where they contradict each other."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_pipeline.scene.view_check import PairCheck, ViewCheckConfig, agreeing_views

from .conftest import Bin, looking

CONFIG = ViewCheckConfig()


def bad(first: int, second: int) -> PairCheck:
    return PairCheck(first, second, 0, 5)


def good(first: int, second: int) -> PairCheck:
    return PairCheck(first, second, 5, 0)


def silent(first: int, second: int) -> PairCheck:
    return PairCheck(first, second, 0, 0)


@pytest.mark.parametrize(
    ("checks", "count", "expected"),
    [
        ([bad(0, 1)], 2, ()),
        ([good(0, 1), bad(0, 2), bad(1, 2)], 3, (0, 1)),
        # Two views that no part links are no majority against the one that contradicts both.
        ([bad(0, 1), bad(0, 2), silent(1, 2)], 3, ()),
        # Of two views that contradict each other, the one that others confirm stays.
        ([bad(0, 1), good(0, 2), good(0, 3), good(2, 3), silent(1, 2), silent(1, 3)], 4, (0, 2, 3)),
        # Two groups: the larger one, and of equal ones that of the first view.
        ([good(0, 1), good(2, 3), good(3, 4), bad(0, 2), bad(0, 3), bad(1, 2), bad(1, 3)], 5, (2, 3, 4)),
        ([good(0, 1), good(2, 3), bad(0, 2), bad(1, 3)], 4, (0, 1)),
        # Within a group the view that fewer parts confirm is left out, or both.
        ([good(0, 1), PairCheck(1, 2, 3, 0), bad(0, 2)], 3, (0, 1)),
        ([good(0, 1), good(1, 2), bad(0, 2)], 3, ()),
        # Cameras that see different parts of a bin do not contradict each other.
        ([silent(0, 1)], 2, (0, 1)),
    ],
)
def test_views_are_relied_on_when_parts_confirm_them(checks, count: int, expected) -> None:
    assert agreeing_views(checks, count, CONFIG) == expected


def test_the_order_of_the_pairs_does_not_matter() -> None:
    checks = [good(0, 1), bad(0, 2), bad(1, 2), good(0, 3), silent(1, 3), silent(2, 3)]
    found = [agreeing_views(order, 4, CONFIG) for order in (checks, checks[::-1])]
    assert found == [(0, 1, 3), (0, 1, 3)]


def sure(poses) -> list:
    return [pose for pose in poses if pose.score >= 0.5]


def test_no_sure_part_of_the_first_view_is_lost_when_all_contradict_each_other(cell: Bin, views) -> None:
    """Wrong camera poses: the list in the world has all that the first view reports, where it reports it."""
    rng = np.random.default_rng(3)
    wrong = [view if k == 0 else off(view, rng.uniform(-0.05, 0.05, 3)) for k, view in enumerate(views)]
    result = cell.estimate(wrong)
    assert 0 not in result.together
    found = cell.estimate.in_world(wrong, result)
    for pose in sure(result.results[0].poses):
        expected = wrong[0].T_world_cam @ pose.T_cam_obj
        near = [p for p in found if p.object_id == pose.object_id and np.allclose(p.T_world_obj, expected, atol=1e-9)]
        assert [p.score for p in near] == [pose.score]


def off(view, offset_m: np.ndarray):
    T = view.T_world_cam.copy()
    T[:3, 3] += offset_m
    return replace(view, T_world_cam=T)


def test_a_part_that_only_the_view_left_out_sees_is_kept_and_one_in_free_space_is_not(cell: Bin, views) -> None:
    """A camera that is 6 cm off: its parts in the others' free space are dropped, those that no view sees are not."""
    away = cell.view("away", looking(1.0))
    shifted = off(away, np.array([0.0, 0.06, 0.0]))
    result = cell.estimate([*views[:2], shifted])
    assert result.together == (0, 1)
    found = cell.estimate.in_world([*views[:2], shifted], result)
    assert len(sure(found)) == len(sure(result.poses)) == len(cell.names)
    blind = [replace(v, frame=replace(v.frame, depth_m=nearly_nothing(v.frame.depth_m))) for v in views[:2]]
    kept = cell.estimate.in_world([*blind, shifted], result)
    assert len(sure(kept)) > len(cell.names)


def nearly_nothing(depth_m: np.ndarray) -> np.ndarray:
    """Depth (H, W) at one pixel alone."""
    left = np.zeros_like(depth_m)
    left[0, 0] = depth_m[0, 0]
    return left


def test_in_the_world_all_views_that_agree_give_the_joint_list(cell: Bin, views) -> None:
    result = cell.estimate(views)
    assert cell.estimate.in_world(views, result) == list(result.poses)
