import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator.crop_content import CHANNELS, CropContent


def test_every_channel_belongs_to_one_image() -> None:
    content = CropContent(tuple(reversed(CHANNELS)))
    covered = [channel for name in content.names for channel in range(content.channels)[content.where(name)]]
    assert covered == list(range(content.channels))
    assert all(len(range(content.channels)[content.where(name)]) == len(CHANNELS[name]) for name in CHANNELS)


@pytest.mark.parametrize("name", CHANNELS)
def test_depth_is_needed_where_an_image_is_made_from_it(name: str) -> None:
    assert CropContent((name,)).has_depth == (name in ("points", "valid", "normals"))


def test_an_image_that_is_not_carried_is_refused() -> None:
    with pytest.raises(BinposeError, match="carry rgb, mask but no points"):
        CropContent(("rgb", "mask")).where("points")


@pytest.mark.parametrize(
    "values",
    [
        {"names": ("depth",)},
        {"names": ("rgb", "rgb")},
        {"names": ("rgb",), "size_px": 30},
        {"names": (), "diameters": 0.0},
    ],
)
def test_nonsense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"^Crops (with|of)"):
        CropContent(**values)
