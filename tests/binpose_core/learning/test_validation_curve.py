"""The curve of a validation: kept, continued, and ended where it has stopped rising."""

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import Hook, Validation
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.training_loop import train
from binpose_core.learning.validation_curve import (
    ValidationConfig,
    ValidationCurve,
    has_stopped_rising,
    read_curve,
    smoothed,
)
from binpose_core.learning.weights import read_progress

STEPS = 40


def run(values, config, tmp_path, hooks=(), checkpoint=None):
    """Train a line with a validation that gives these values."""
    given = iter(values)
    measuring = Validation(lambda _: {"recall": next(given)}, config.times)
    curve = ValidationCurve(config, "recall", tmp_path / "curve.json")
    train(
        torch.nn.Linear(1, 1), lambda _: torch.ones(2, 1), lambda network, x: {"loss": network(x).square().mean()},
        LoopConfig(steps=STEPS), checkpoint, [measuring, curve, *hooks],
    )  # fmt: skip
    return read_curve(tmp_path / "curve.json")


def test_a_rising_curve_uses_the_whole_budget(tmp_path):
    points = run(np.linspace(0, 1, 10), ValidationConfig(times=10), tmp_path)
    assert [point.steps for point in points] == list(range(4, STEPS + 1, 4))
    assert [point.metrics["recall"] for point in points] == pytest.approx(np.linspace(0, 1, 10))
    assert points[-1].samples == 2 * STEPS


def test_a_flat_curve_ends_the_training_but_not_before_the_minimum(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    points = run([0.5] * 20, ValidationConfig(times=20, minimum=0.7), tmp_path, checkpoint=checkpoint)
    assert points[-1].fraction == pytest.approx(0.7)
    progress = read_progress(checkpoint)
    assert progress.steps == 28 and progress.fraction == 1.0, "a training that ended is not continued"


def test_without_patience_the_budget_is_used(tmp_path):
    assert run([0.5] * 10, ValidationConfig(times=10, patience=0), tmp_path)[-1].steps == STEPS


def test_noise_on_a_rising_curve_does_not_end_it():
    rising = np.linspace(0.2, 0.8, 24) + np.tile([0.02, -0.02], 12)
    config = ValidationConfig()
    assert not any(has_stopped_rising(rising[:n], config) for n in range(len(rising) + 1))
    flat = [*rising, *[rising[-2]] * 8]
    assert has_stopped_rising(flat, config)


def test_smoothing_keeps_constants_and_lies_between_the_extremes():
    values = np.random.default_rng(0).random(9)
    assert smoothed([0.3] * 5, 3) == pytest.approx([0.3] * 5)
    assert smoothed(values, 1) == pytest.approx(values)
    assert min(values) <= min(smoothed(values, 4)) <= max(smoothed(values, 4)) <= max(values)


def test_an_interrupted_curve_is_continued(tmp_path):
    class Interrupt(Hook):
        def after_step(self, state):
            if state.progress.steps == 18:
                raise KeyboardInterrupt

    checkpoint, config = tmp_path / "run.safetensors", ValidationConfig(times=10)
    with pytest.raises(KeyboardInterrupt):
        run(np.linspace(0, 0.3, 4), config, tmp_path, [Interrupt()], checkpoint)
    points = run(np.linspace(0.4, 1, 6), config, tmp_path, checkpoint=checkpoint)
    assert [point.steps for point in points] == list(range(4, STEPS + 1, 4))
    assert np.all(np.diff([point.metrics["recall"] for point in points]) > 0)


@pytest.mark.parametrize("wrong", [{"times": 0}, {"views": -1}, {"patience": -1}, {"smoothing": 0}])
def test_nonsense_numbers_are_refused(wrong):
    with pytest.raises(BinposeError, match="expected views and patience of at least 0, the others of at least 1"):
        ValidationConfig(**wrong)


def test_nonsense_fractions_are_refused():
    with pytest.raises(BinposeError, match=r"minimum 1\.5 and least_gain 0\.002; expected fractions from 0 to 1"):
        ValidationConfig(minimum=1.5)
