"""Counts and intervals."""

import numpy as np
import pytest

from binpose_cell.clearing import Clearing
from binpose_cell.figures import PickFigures, end_of, outcome_of, wilson_interval
from binpose_cell.pick_motion import PickEnd, PickResult
from binpose_cell.picking_cell import Try
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp, Hypothesis


def a_try(end: PickEnd, held: str = "block", overlap_m: float = 0.0, links: tuple[str, ...] = ()) -> Try:
    T = np.eye(4)
    grasp = Grasp("block", T, 0.03, 0.8, T, T, 0, pose=Hypothesis("block", T, 0.9))
    return Try(0, grasp, PickResult(end, 0, 0.03, overlap_m, 0.0, 4.0, links), held)


def test_the_interval_is_that_of_the_tables():
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(BinposeError, match="at most"):
        wilson_interval(3, 2)


def test_the_interval_is_mirrored_for_failures():
    low, high = wilson_interval(3, 11)
    assert wilson_interval(8, 11) == pytest.approx((1 - high, 1 - low))


def test_a_part_of_another_type_is_no_success():
    one = a_try(PickEnd.PLACED, held="rod")
    assert not one.succeeded and end_of(one) == "WRONG_PART"


def test_counts_add_up():
    touching = a_try(PickEnd.EMPTY, held="", links=("arm_link3", "arm_link4"))
    tries = (a_try(PickEnd.PLACED), a_try(PickEnd.PLACED, overlap_m=0.002), touching)
    figures = PickFigures.of([Clearing(tries, 2, 0, 0, ""), Clearing((), 1, 1, 0, "")], 0.001)
    assert (figures.tries, figures.succeeded, figures.collided, figures.link_contacts) == (3, 2, 1, 1)
    assert (figures.parts, figures.placed, figures.bins, figures.cleared) == (3, 2, 2, 1)
    assert sum(figures.ends.values()) == figures.tries
    assert figures.picks_per_hour(1.0) == pytest.approx(3600 * 2 / 3 / 5)


def test_drags_and_fruitless_images_take_time():
    tries = (a_try(PickEnd.PLACED), a_try(PickEnd.PLACED))
    figures = PickFigures.of([Clearing(tries, 2, 0, 0, "", images=6, drags=1, drag_s=3.0)], 0.001)
    assert (figures.drags, figures.images, figures.motion_s) == (1, 3.0, 5.5)
    assert figures.picks_per_hour(0.5) == pytest.approx(3600 * 2 / (2 * 4.0 + 3.0 + 6 * 0.5))


def test_an_outcome_says_what_was_grasped_and_how_it_ended():
    outcome = outcome_of(a_try(PickEnd.EMPTY, held=""))
    assert outcome.object_id == "block" and not outcome.succeeded
    assert outcome.details["end"] == "EMPTY" and outcome.details["width_m"] == 0.03
