from dataclasses import fields

import pytest

from binpose_core.base.errors import BinposeError
from binpose_refinement.config import RefinerConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"polish_rounds": 0},
        {"keep_best": 0},
        {"tolerance_m": 0.0},
        {"coarse_px": 4},
        {"min_score": 1.5},
        {"gate_start": -1},
    ],
)
def test_nonsense_is_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(BinposeError, match=name):
        RefinerConfig(**wrong)


def test_every_number_has_a_range():
    assert [entry.name for entry in fields(RefinerConfig) if entry.metadata.get("bounds") is None] == ["method"]


RANGES = {entry.name: entry.metadata["bounds"] for entry in fields(RefinerConfig) if entry.name != "method"}


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_kept(name):
    low, high = RANGES[name]
    assert getattr(RefinerConfig(**{name: low}), name) == low
    for wrong in (low - 1, high + 1, float("nan")):
        with pytest.raises(BinposeError, match=rf"RefinerConfig.{name} is .*; expected"):
            RefinerConfig(**{name: wrong})
