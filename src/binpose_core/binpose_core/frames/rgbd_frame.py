"""One observation of the camera, checked where it enters."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, NoDepth
from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import Camera

NEAREST_M, FARTHEST_M = 0.05, 20.0
DEPTH_STEPS_PER_M = 100_000
LARGEST_M = float(np.finfo(np.float32).max) / DEPTH_STEPS_PER_M  # larger values overflow when they are rounded
"""Depth is rounded to 0.01 mm, far below any sensor's noise: the same image gives the same poses as PNG and as TIFF."""
MIDDLE_ROWS = 8  # every so many rows tell the median depth well enough to see a wrong unit


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """A colour or mono image, its depth and its camera.

    color: (H, W, 3) uint8 RGB or (H, W) uint8 mono.
    depth_m: (H, W) float32 in metres along the optical axis, rounded to 0.01 mm, 0 = invalid (REP-118's NaN becomes
        0); None for a camera without depth.
    distance_m: about how far away the parts are, where there is no depth to tell it; None = not known either.
    stamp_ns: time of exposure; frame_id: name of the optical frame.
    notes: a sentence about each thing that was ignored or looks odd; the same text for every frame that shares it.
    """

    color: npt.NDArray[np.uint8]
    depth_m: npt.NDArray[np.float32] | None
    camera: Camera
    stamp_ns: int = 0
    frame_id: str = "camera"
    name: str = ""
    distance_m: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expected = (self.camera.height, self.camera.width)
        if self.color.dtype != np.uint8 or self.color.ndim not in (2, 3) or self.color.shape[2:] not in ((), (3,)):
            raise BinposeError(
                f"Frame {self.name!r}: colour image of shape {self.color.shape} and type {self.color.dtype}; "
                "expected (H, W, 3) uint8 RGB or (H, W) uint8 mono; convert it first."
            )
        if self.color.shape[:2] != expected:
            raise BinposeError(
                f"Frame {self.name!r}: colour image of {self.color.shape[1]}x{self.color.shape[0]} pixels, but the "
                f"intrinsics are for {expected[1]}x{expected[0]}; expected those of this image size; correct the "
                "camera file or camera info.",
                Reason.SIZE_MISMATCH,
            )
        if self.distance_m is not None and not NEAREST_M <= self.distance_m <= FARTHEST_M:
            raise BinposeError(
                f"Frame {self.name!r}: parts at a distance of {self.distance_m:g} m; expected {NEAREST_M} to "
                f"{FARTHEST_M:g} m; give it in metres."
            )
        if self.depth_m is not None:
            object.__setattr__(self, "depth_m", _checked_depth(self.depth_m, expected, self.name))

    @property
    def gray(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8 luminance."""
        return self.color if self.color.ndim == 2 else cv2.cvtColor(self.color, cv2.COLOR_RGB2GRAY)

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8, mono repeated."""
        return self.color if self.color.ndim == 3 else cv2.cvtColor(self.color, cv2.COLOR_GRAY2RGB)


def depth_from_encoding(depth: npt.NDArray[Any], encoding: str, name: str = "") -> npt.NDArray[np.float32]:
    """Metres (H, W) float32 from a REP-118 depth image.

    Args:
        depth: (H, W) image.
        encoding: "32FC1" in metres or "16UC1" in millimetres.
        name: of the frame, for the message of an error.

    Raises:
        BinposeError: for any other encoding, or one that disagrees with the image's type.
    """
    types = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 1e-3)}
    if encoding not in types or depth.dtype != types[encoding][0] or depth.ndim != 2:
        raise BinposeError(
            f"Frame {name!r}: depth image with encoding {encoding!r}, type {depth.dtype} and shape {depth.shape}; "
            "expected one channel as 32FC1 (float32, metres) or 16UC1 (uint16, millimetres); convert it (REP-118).",
            Reason.UNKNOWN_ENCODING,
        )
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return depth.astype(np.float32) * np.float32(types[encoding][1])


def _checked_depth(depth_m: npt.NDArray[Any], expected: tuple[int, int], name: str) -> npt.NDArray[np.float32]:
    if depth_m.shape != expected:
        raise BinposeError(
            f"Frame {name!r}: depth image of shape {depth_m.shape}, but the intrinsics are for "
            f"{expected[1]}x{expected[0]} pixels; align the depth to the colour image first.",
            Reason.SIZE_MISMATCH,
        )
    if not np.issubdtype(depth_m.dtype, np.floating):
        raise BinposeError(
            f"Frame {name!r}: depth of type {depth_m.dtype}; expected float metres; "
            "convert with binpose_core.frames.rgbd_frame.depth_from_encoding."
        )
    valid = (depth_m > 0) & (depth_m < LARGEST_M)
    if not valid.any():
        raise NoDepth(
            f"Frame {name!r}: the depth image has no valid pixel (all zero or NaN); expected metres; "
            "check the sensor, its distance to the scene and the file.",
            name,
        )
    depth_m = np.where(valid, depth_m, np.float32(0)).astype(np.float32, copy=False)
    steps = np.float32(DEPTH_STEPS_PER_M)
    depth_m = np.asarray(np.rint(depth_m * steps) / steps, np.float32)
    rows = slice(None, None, MIDDLE_ROWS if valid[::MIDDLE_ROWS].any() else None)
    middle = float(np.median(depth_m[rows][valid[rows]]))
    if not NEAREST_M <= middle <= FARTHEST_M:
        raise BinposeError(
            f"Frame {name!r}: the median depth is {middle:.6g} m; expected {NEAREST_M} to {FARTHEST_M:g} m; the unit "
            "is probably wrong (millimetres read as metres or the reverse): check depth_scale or the encoding.",
            Reason.DEPTH_UNIT,
        )
    return depth_m


def undistort(frame: RgbdFrame) -> RgbdFrame:
    """The frame as an ideal pinhole camera with the same K would see it; depth by nearest pixel."""
    if not any(frame.camera.distortion):
        return frame
    camera, maps = replace(frame.camera, distortion=()), _undistortion_maps(frame.camera)
    color = cv2.remap(frame.color, *maps, cv2.INTER_LINEAR)
    depth = None if frame.depth_m is None else cv2.remap(frame.depth_m, *maps, cv2.INTER_NEAREST)
    return replace(frame, color=color, depth_m=depth, camera=camera)


@lru_cache(maxsize=2)
def _undistortion_maps(camera: Camera) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Columns and rows (H, W) at which this image shows the ideal camera's pixels; they take longer than their use."""
    coefficients, size = np.asarray(camera.distortion, dtype=np.float64), (camera.width, camera.height)
    columns, rows = cv2.initUndistortRectifyMap(camera.K, coefficients, None, camera.K, size, cv2.CV_32FC1)
    return columns, rows
