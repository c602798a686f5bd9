"""Parameters are the fields of a dataclass: named, described and checked there alone."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, descriptions, setting
from binpose_core.frames.types import Detection
from binpose_ros.settings import DetectionChoice, Overrides, StageSettings, specs, with_values


@dataclass(frozen=True)
class Inner:
    """How fine.

    rounds: how often.
    size_px: of the crop,
        in pixels.
    share: of all, in [0, 1]; where rounds: is text.

    No field is called nothing: this is about the class.
    """

    rounds: int = setting(3, bounds=(1, 9))
    size_px: int = 64
    share: float = 0.5

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Outer(StageSettings):
    """What to do.

    threshold: least score.
    names: of parts.
    """

    threshold: float = setting(0.5, bounds=(0.0, 1.0), live=True)
    names: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner, metadata={"live": True})


@dataclass(frozen=True)
class Choice(Outer):
    """keep: how many messages wait."""

    own: Overrides[Inner] = field(default_factory=lambda: Overrides(Inner()), metadata={"live": True})


def test_a_field_is_described_by_its_own_lines_alone() -> None:
    assert descriptions(Inner) == {
        "rounds": "how often.",
        "size_px": "of the crop, in pixels.",
        "share": "of all, in [0, 1]; where rounds: is text.",
    }
    outer, choice = descriptions(Outer), descriptions(Choice)
    assert outer["autostart"] == "configure and activate without a lifecycle manager."
    assert outer["names"] == "of parts." and outer["keep"] == descriptions(StageSettings)["keep"]
    assert choice == {**outer, "keep": "how many messages wait."}, "what a subclass says anew counts"


def test_names_defaults_and_ranges_are_those_of_the_fields() -> None:
    found = {spec.name: spec for spec in specs(Outer())}
    assert found["threshold"].bounds == (0.0, 1.0) and found["threshold"].live
    assert found["names"].default == []
    assert found["inner.rounds"].default == 3 and found["inner.rounds"].live and found["inner.rounds"].bounds == (1, 9)
    assert found["slop_s"].live and not found["model"].live


def test_values_come_in_by_the_names_they_went_out_with() -> None:
    changed = Outer(threshold=0.25, names=("gear", "bolt"), inner=Inner(rounds=7, share=0.125))
    values = {spec.name: spec.default for spec in specs(changed)}
    assert with_values(Outer(), values) == changed


@pytest.mark.parametrize(
    "name, value, reason",
    [("threshold", 1.5, "threshold is 1.5; expected 0 to 1"), ("inner.rounds", 0, "rounds is 0; expected 1 to 9")],
)
def test_bad_values_are_refused_with_the_reason(name: str, value: float, reason: str) -> None:
    with pytest.raises(BinposeError, match=reason):
        with_values(Outer(), {name: value})


def test_only_what_was_set_overrides_also_where_it_is_the_default() -> None:
    assert Choice().own.named == {}
    assert with_values(Choice(), {"threshold": 0.25}).own.named == {}
    set_once = with_values(Choice(), {"own.rounds": 3})
    assert set_once.own.named == {"rounds": 3} and set_once != Choice()
    assert with_values(set_once, {"own.share": 1}).own.named == {"rounds": 3, "share": 1.0}
    shown = {spec.name: spec for spec in specs(with_values(Choice(), {"own.rounds": 5}))}
    assert shown["own.rounds"].default == 5 and shown["own.rounds"].bounds == (1, 9) and shown["own.rounds"].live
    with pytest.raises(BinposeError, match="rounds is 0"):
        with_values(Choice(), {"own.rounds": 0})


def test_the_device_is_a_device() -> None:
    with pytest.raises(BinposeError, match="'gpu'"):
        StageSettings(device="gpu")


def test_detections_are_chosen_by_score_and_region() -> None:
    def found(u: float, score: float) -> Detection:
        return Detection("bolt", score, (0, 0, 1, 1), np.ones((1, 1), bool), (u, 10.0))

    detections = [found(10, 0.9), found(10, 0.2), found(90, 0.9)]
    choice = with_values(DetectionChoice(), {"min_score": 0.5, "region": "0,0 50,0 50,50 0,50"})
    assert choice.chosen(detections) == detections[:1]
    assert DetectionChoice().chosen(detections) == detections
    with pytest.raises(BinposeError, match="three corners"):
        with_values(choice, {"region": "0,0 50,0"})
