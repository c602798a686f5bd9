"""A field's range is checked and shown from the same numbers."""

from dataclasses import dataclass, fields

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, descriptions, setting, summary


@dataclass(frozen=True)
class Crop:
    size_px: int = setting(64, bounds=(16, 1024))
    share: float = setting(0.5, bounds=(0.0, 1.0), live=True)
    name: str = setting("crop")

    def __post_init__(self) -> None:
        check_bounds(self)


@pytest.mark.parametrize("size_px", [16, 64, 1024])
def test_a_range_has_its_ends(size_px: int) -> None:
    assert Crop(size_px).size_px == size_px


@pytest.mark.parametrize(
    "wrong, reason",
    [
        ({"size_px": 15}, "Crop.size_px is 15; expected 16 to 1024."),
        ({"share": 1.5}, "Crop.share is 1.5; expected 0 to 1."),
        ({"share": float("nan")}, "Crop.share is nan; expected 0 to 1."),
    ],
)
def test_what_is_out_of_its_range_is_refused_by_name(wrong: dict[str, float], reason: str) -> None:
    with pytest.raises(BinposeError) as refused:
        Crop(**wrong)  # type: ignore[arg-type]
    assert str(refused.value) == reason


def test_whether_it_is_live_is_left_open_where_nothing_is_said() -> None:
    assert [entry.metadata.get("live") for entry in fields(Crop)] == [None, True, None]


@dataclass(frozen=True)
class Batch(Crop):
    """What a batch is.

    views: per batch. crops: windows cut
        from each, where views: is text.
    low, high: of the range.

    Nothing else: this is about the class.
    """

    views: int = 1
    crops: int = 2
    low: float = 0.0
    high: float = 1.0


def test_descriptions_are_those_of_the_fields() -> None:
    assert descriptions(Batch) == {
        "views": "per batch.",
        "crops": "windows cut from each, where views: is text.",
        "low": "of the range.",
        "high": "of the range.",
    }


def test_the_summary_is_what_describes_no_field() -> None:
    assert summary(Batch) == "What a batch is.\n\nNothing else: this is about the class."
