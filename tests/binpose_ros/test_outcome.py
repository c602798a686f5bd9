"""What became of a frame arrives at the next stage as it was, also when its sender knows other codes."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_ros.outcome import REMEMBERED, EarlierOutcomes, Outcome, from_outcome, to_outcome
from binpose_ros.stamps import Header


class Types:
    """Message classes that keep their fields."""

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace


def status(outcome: Outcome, stamp_ns: int = 1) -> Any:
    return from_outcome(outcome, Header(stamp_ns, "camera"), "/detection", Types())


@pytest.mark.parametrize("reason", Reason)
def test_an_outcome_comes_back(reason: Reason) -> None:
    outcome = Outcome(reason, "A sentence.", 3, 2, "abc")
    message = status(outcome)
    assert to_outcome(message) == outcome
    assert message.success is not reason.is_failure and message.code == reason.name


def test_a_code_that_is_not_known_is_a_failure_where_its_sender_says_so() -> None:
    message = status(Outcome(Reason.NO_DEPTH, "A sentence."))
    message.code = "NEWER_CODE"
    assert to_outcome(message).reason is Reason.BAD_INPUT
    message.success = True
    assert to_outcome(message).reason is Reason.NO_PARTS


def test_a_failure_raises_with_its_own_reason() -> None:
    processed = Outcome(Reason.BELOW_THRESHOLD, "None.")
    assert processed.expect_processed() is processed
    with pytest.raises(BinposeError, match="No info") as caught:
        Outcome(Reason.NO_CAMERA_INFO, "No info.").expect_processed()
    assert caught.value.reason is Reason.NO_CAMERA_INFO


def test_the_outcome_of_a_frame_is_found_by_its_stamp_alone() -> None:
    outcomes = EarlierOutcomes()
    outcomes.put(status(Outcome(Reason.NO_DEPTH, "first"), 1))
    outcomes.put(status(Outcome(message="second"), 2))
    first, second = outcomes.of(1), outcomes.of(2)
    assert first is not None and first.is_failure and second is not None and second.message == "second"
    assert outcomes.of(3, patience_s=0.01) is None


def test_an_outcome_that_arrives_a_moment_late_is_waited_for() -> None:
    outcomes = EarlierOutcomes()
    late = threading.Timer(0.1, outcomes.put, [status(Outcome(message="late"), 5)])
    late.start()
    found = outcomes.of(5, patience_s=10)
    late.join()
    assert found is not None and found.message == "late"


def test_memory_is_bounded() -> None:
    outcomes = EarlierOutcomes()
    for stamp_ns in range(3 * REMEMBERED):
        outcomes.put(status(Outcome(), stamp_ns))
    assert outcomes.of(0, 0.0) is None and outcomes.of(3 * REMEMBERED - 1, 0.0) is not None
    assert len(outcomes._by_stamp) == REMEMBERED
