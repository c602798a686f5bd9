"""The codes of reasons are the same in the library, in the messages and in the documentation."""

import re
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason

ROOT = Path(__file__).resolve().parents[3]
CODES = {reason.code for reason in Reason}


def test_every_code_is_a_constant_of_the_message() -> None:
    text = (ROOT / "src/binpose_interfaces/msg/FrameStatus.msg").read_text(encoding="utf-8")
    constants = dict(re.findall(r'^string ([A-Z_]+)="([A-Z_]+)"$', text, re.MULTILINE))
    assert constants == {code: code for code in CODES}


def test_every_code_is_documented_with_its_meaning() -> None:
    text = (ROOT / "docs/ros.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", text, re.MULTILINE))
    assert rows == {reason.code: reason.value for reason in Reason}


def test_no_two_reasons_mean_the_same() -> None:
    assert len(CODES) == len(Reason.__members__), "an alias would hide a code"


def test_only_the_reasons_of_a_processed_frame_are_no_failures() -> None:
    reasons = list(Reason)
    last = reasons.index(Reason.VIEWS_DIFFER)
    assert [reason.is_failure for reason in reasons] == [index > last for index in range(len(reasons))]


def test_an_error_carries_its_reason() -> None:
    assert BinposeError("Bad.").reason is Reason.BAD_INPUT
    error = BinposeError("Bad.", Reason.NO_DEPTH)
    assert str(error) == "Bad." and error.reason is Reason.NO_DEPTH
