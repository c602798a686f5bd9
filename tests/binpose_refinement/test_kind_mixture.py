"""What the other parts of a frame say about a pose."""

import numpy as np
import pytest

from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.kind_mixture import kind_mixture_evidence, lead_over_rivals


def two_kinds(margins):
    """Detections that are tried as object 0 and as object 1; the margin of each for object 0."""
    count = len(margins)
    batch = HypothesisBatch(
        np.repeat(np.arange(count), 2), np.tile([0, 1], count), np.tile(np.eye(4), (2 * count, 1, 1)),
        np.ones(2 * count),
    )  # fmt: skip
    kind = np.ravel([(m, -m) for m in margins])
    return kind_mixture_evidence(batch, np.full(2 * count, 0.8), kind, 3).reshape(count, 2)


def test_certain_neighbours_decide_for_an_undecided_part():
    company = two_kinds([0.0, 0.8, 0.8, 0.8])
    assert company[0, 0] > 0.3 and company[0, 1] == pytest.approx(-company[0, 0])


def test_more_certain_neighbours_say_more():
    few, many = two_kinds([0.0, 0.8]), two_kinds([0.0] + 8 * [0.8])
    assert many[0, 0] > few[0, 0] > 0


def test_a_bin_of_both_kinds_decides_nothing():
    company = two_kinds([0.0, 0.8, 0.8, -0.8, -0.8])
    assert np.abs(company[0]).max() < 0.05


def test_what_a_part_shows_itself_outweighs_its_company():
    """A decided pose gets nothing from its neighbours, and loses little."""
    company = two_kinds([-0.9, 0.8, 0.8, 0.8])
    assert company[0, 1] > -0.1


def test_a_part_alone_has_no_company():
    assert np.abs(two_kinds([0.3])).max() == 0.0


def test_without_rivals_or_without_hypotheses_there_is_none():
    one = HypothesisBatch(np.zeros(1, np.int64), np.zeros(1, np.int64), np.eye(4)[None], np.ones(1))
    assert kind_mixture_evidence(one, np.ones(1), np.ones(1), 2).tolist() == [0.0]
    none = one.take(np.zeros(0, np.int64))
    assert kind_mixture_evidence(none, np.zeros(0), np.zeros(0), 2).shape == (0,)


def test_the_lead_is_over_rivals_alone():
    lead = lead_over_rivals(np.array([0.9, 0.8, 0.3]), np.array([[0, 2], [1, 2]]))
    assert lead == pytest.approx([0.6, 0.5, -0.6])
