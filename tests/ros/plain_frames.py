"""Frames of a plain scene, for tests that need no more than a frame."""

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection

WIDTH, HEIGHT, FOCAL_PX, TABLE_M = 640, 480, 600.0, 0.6
SIDE_PX, RISE_M = 60, 0.02


def box_on_table() -> RgbdFrame:
    """A box on a table."""
    depth_m = np.full((HEIGHT, WIDTH), TABLE_M, np.float32)
    depth_m[_middle(HEIGHT), _middle(WIDTH)] -= np.float32(RISE_M)
    color = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    return RgbdFrame(color, depth_m, Camera(FOCAL_PX, FOCAL_PX, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT))


def square_detection(frame: RgbdFrame, object_id: str) -> Detection:
    """A square in the middle of a frame, taken for a part."""
    rows, columns = _middle(frame.camera.height), _middle(frame.camera.width)
    mask = np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
    box = (columns.start, rows.start, columns.stop, rows.stop)
    return Detection(object_id, 1.0, box, mask, (frame.camera.width / 2, frame.camera.height / 2))


def _middle(side: int) -> slice:
    half = min(SIDE_PX, side) // 2
    return slice(side // 2 - half, side // 2 + half)
