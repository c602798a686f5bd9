"""Lines for programs: one object each, not too many, and none missing at the ends of a stage."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from binpose.json_lines import JsonLines
from binpose_core.base.errors import DiskFull
from binpose_core.base.reasons import Reason


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> JsonLines:
    return JsonLines(io.StringIO(), period_s=1.0, clock=clock)


def events(lines: JsonLines) -> list[dict[str, Any]]:
    assert isinstance(lines.stream, io.StringIO)
    return [json.loads(line) for line in lines.stream.getvalue().splitlines()]


def test_a_stage_is_reported_at_both_ends_and_now_and_then_between(lines: JsonLines, clock: Clock) -> None:
    for step in range(101):
        clock.now_s = step / 20
        lines.report("round 2, teaching", step / 100, f"{step} of 100")
    fractions = [event["fraction"] for event in events(lines)]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0 and 6 <= len(fractions) <= 7
    assert {event["round"] for event in events(lines)} == {2}


def test_a_new_stage_is_reported_at_once(lines: JsonLines) -> None:
    lines.report("round 1, teaching", 0.5, "")
    lines.report("gate, frames", 0.1, "")
    assert [event["round"] for event in events(lines)] == [1, 0]


def test_losses_name_round_and_network_and_have_no_nan(lines: JsonLines) -> None:
    (hook,) = lines.hooks(3, "pose")
    state = SimpleNamespace(
        progress=SimpleNamespace(fraction=0.5), losses={"pose": 0.25, "bad": float("nan")}, metrics={}
    )
    hook.after_step(state)  # type: ignore[arg-type]
    assert events(lines) == [{"event": "losses", "round": 3, "stage": "pose", "losses": {"pose": 0.25, "bad": None}}]


def test_an_error_has_its_code_and_its_sentence(lines: JsonLines) -> None:
    lines.failed(DiskFull("The disk is full.", "model"))
    lines.interrupted("Interrupted.")
    found = [(event["code"], event["message"]) for event in events(lines)]
    assert found == [(Reason.BAD_INPUT.code, "The disk is full."), (Reason.CANCELLED.code, "Interrupted.")]
