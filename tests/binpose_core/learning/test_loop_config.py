"""The settings of the loop refuse nonsense, and the learning rate has its shape."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.learning.loop_config import LoopConfig


def test_the_rate_rises_and_falls_to_nothing() -> None:
    settings = LoopConfig(learning_rate=1e-3, warmup=0.1)
    rates = np.array([settings.rate(p) for p in np.linspace(0, 1, 101)])
    assert (rates > 0).all() and rates.max() <= 1.02e-3
    assert rates.argmax() in (9, 10)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[0] < 0.05e-3 and rates[-1] < 0.01e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0}, "minutes"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup": 1.0}, "warmup"),
        ({"samples": 0}, "samples"),
        ({"samples": 10, "steps": 10}, "samples .* choose one"),
        ({"minutes": float("nan")}, "minutes"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        LoopConfig(**changes)


def test_preparations_take_from_the_minutes_at_most_half() -> None:
    assert LoopConfig(minutes=10).without(120).minutes == pytest.approx(8)
    assert LoopConfig(minutes=10).without(900).minutes == pytest.approx(5)
