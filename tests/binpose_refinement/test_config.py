import pytest

from binpose_core.errors import BinposeError
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
