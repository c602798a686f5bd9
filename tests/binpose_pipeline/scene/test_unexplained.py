"""The unexplained fraction of the content of a bin, on drawn planes and boxes."""

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_pipeline.scene.unexplained import unexplained_fraction

CAMERA = Camera(300.0, 300.0, 79.5, 59.5, 160, 120)
BLOCKS = ((30, 30), (30, 90), (70, 30), (70, 90))
SIDE = 20


def bin_frame(tilt: float = 0.0) -> tuple[RgbdFrame, list[np.ndarray]]:
    """A floor with four equal blocks on it, 30 mm high."""
    _, u = np.mgrid[:120, :160]
    depth = 0.6 + tilt * (u - 80) * 1e-3
    masks = []
    for row, column in BLOCKS:
        mask = np.zeros((120, 160), bool)
        mask[row : row + SIDE, column : column + SIDE] = True
        masks.append(mask)
        depth = np.where(mask, depth - 0.03, depth)
    noise = np.random.default_rng(0).normal(0, 3e-4, depth.shape)
    return RgbdFrame(np.full((120, 160, 3), 90, np.uint8), (depth + noise).astype(np.float32), CAMERA), masks


@pytest.mark.parametrize("tilt", [0.0, 0.5])
@pytest.mark.parametrize("explained", range(5))
def test_it_is_the_fraction_of_the_blocks_without_a_pose(tilt: float, explained: int) -> None:
    frame, masks = bin_frame(tilt)
    detections = [Detection.from_mask("block", 0.9, mask) for mask in masks]
    covered = np.zeros((120, 160), bool)
    for mask in masks[:explained]:
        covered |= mask
    assert unexplained_fraction(frame, covered, detections) == pytest.approx(1 - explained / 4, abs=0.02)


def test_without_detections_the_whole_frame_counts() -> None:
    frame, _ = bin_frame()
    assert unexplained_fraction(frame, np.zeros((120, 160), bool)) == 1.0


def test_a_region_bounds_the_bin() -> None:
    frame, masks = bin_frame()
    left = Region.from_text("20,20 70,20 70,110 20,110")
    assert unexplained_fraction(frame, masks[0] | masks[2], (), left) == pytest.approx(0.0, abs=0.02)
    assert unexplained_fraction(frame, masks[1], (), left) == 1.0


def test_it_is_unknown_without_depth_and_for_an_empty_floor() -> None:
    frame, _ = bin_frame()
    nothing = np.zeros((120, 160), bool)
    assert np.isnan(unexplained_fraction(RgbdFrame(frame.color, None, CAMERA), nothing))
    floor = RgbdFrame(frame.color, np.full((120, 160), 0.6, np.float32), CAMERA)
    assert np.isnan(unexplained_fraction(floor, nothing))


def test_the_same_frame_gives_the_same_fraction() -> None:
    frame, masks = bin_frame(0.2)
    assert unexplained_fraction(frame, masks[0]) == unexplained_fraction(frame, masks[0])
