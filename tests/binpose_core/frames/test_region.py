"""Where in an image parts can be."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.region import Region

BIN = "100,50 300,50 300,200 100,200"


def test_a_point_is_inside_or_not() -> None:
    region = Region.from_text(BIN)
    assert region is not None
    assert region.contains((200, 100)) and region.contains((100.0, 50.0)), "borders belong to it"
    assert not region.contains((99, 100)) and not region.contains((200, 201))


def test_bins_may_lie_apart_and_have_any_outline() -> None:
    region = Region.from_text(f"{BIN}; 400,50 500,50 400,200;")
    assert region is not None and len(region.polygons_px) == 2
    assert region.contains((420, 80)) and not region.contains((490, 190)) and not region.contains((350, 100))


def test_no_text_is_no_region() -> None:
    assert Region.from_text("") is None and Region.from_text(" ; ") is None


@pytest.mark.parametrize("text", ["100,50 300,50", "a,b c,d e,f", "1 2 3", "1,2 3,4 5", "1,2,3 4,5,6 7,8,9"])
def test_what_is_no_outline_is_refused(text: str) -> None:
    with pytest.raises(BinposeError, match="expected"):
        Region.from_text(text)


@pytest.mark.parametrize("corner", ["3,nan", "nan,4", "inf,4", "3,-inf"])
def test_a_corner_that_is_no_number_is_named(corner: str) -> None:
    u, v = corner.split(",")
    with pytest.raises(BinposeError, match=rf"the corner \({u}, {v}\); expected finite numbers"):
        Region.from_text(f"1,1 2,2 {corner} 5,6")


def test_polygons_of_another_shape_are_refused() -> None:
    with pytest.raises(BinposeError, match=r"shape \(2, 2\); expected at least three corners"):
        Region([np.zeros((2, 2))])
