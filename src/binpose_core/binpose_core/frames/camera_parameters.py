"""Camera parameters from outside, checked by one set of rules for camera files, BOP data sets, bags and ROS nodes.

The rules, which docs/recording.md states for users:

- The matrix is [fx, 0, cx, 0, fy, cy, 0, 0, 1], row by row. All nine numbers are checked.
- Distortion has OpenCV's 0, 4, 5, 8, 12 or 14 coefficients. Further numbers must be zeros.
- The distortion model is a pinhole's: `plumb_bob`, `rational_polynomial` or another name of these. Fisheyes are
  refused.
- Binning and region of interest follow sensor_msgs/CameraInfo: the matrix is that of the full resolution, the region is
  in pixels of the full resolution, and binning divides what the region leaves (REP 104).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import DISTORTION_COUNTS, Camera
from binpose_core.geometry.transforms import FloatArray

NO_DISTORTION = ("none", "pinhole")
OPENCV_MODELS = ("", "plumb_bob", "rational_polynomial", "thin_prism", "brown_conrady", "radtan", "opencv")
# Cameras without distortion state these, too. Their coefficients have another meaning than OpenCV's.
OTHER_PINHOLE_MODELS = ("inverse_brown_conrady", "modified_brown_conrady")
PLUMB_BOB = 5  # coefficients

LARGEST_PX = 32766  # OpenCV's remap takes no larger images
FOCAL_LENGTHS = (0.05, 1000.0)  # times the larger side of the image
LARGEST_RATIO = 4.0  # of the two focal lengths
STEEPEST_RAY = 10.0  # sideways per length along the optical axis: 84 degrees
CENTRAL = 0.2  # of the image size: a principal point farther from the centre is remarked
SKEW_PX = 0.5  # at the upper and lower edge of the image; less is ignored with a note
LEAST_STRAIGHT = 0.5  # fraction of the image that must be left after the distortion is removed
GRID = 9


class Window(NamedTuple):
    """Which part of the full resolution an image shows, and how many pixels were combined into one.

    x, y, width, height: in pixels of the full resolution; width = height = 0 is all of it.
    binning_x, binning_y: 0 has the same meaning as 1.
    """

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    binning_x: int = 1
    binning_y: int = 1


@dataclass(frozen=True)
class CheckedCamera:
    """A camera whose parameters hold together, and a sentence about each thing that looks odd or was ignored."""

    camera: Camera
    notes: tuple[str, ...] = ()


def check_camera(
    matrix: Any,
    size: tuple[int, int],
    where: str,
    *,
    name: str = "K",
    distortion: Iterable[float] = (),
    model: str = "",
    window: Window | None = None,
) -> CheckedCamera:
    """The camera of parameters that came from outside.

    Args:
        matrix: nine numbers, row by row, of the full resolution.
        size: width and height of the full resolution, pixels.
        where: the file or message, for errors and notes.
        name: of the matrix there.
        distortion: OpenCV's coefficients.
        model: name of the distortion model; empty where it is not stated.
        window: binning and region of interest.

    Raises:
        BinposeError: for parameters that no pinhole camera has; names the value that is wrong.
    """
    width, height = _checked_size(size, where)
    K = _checked_matrix(matrix, name, where)
    _check_focal_lengths(K, width, height, name, where)
    notes = _checked_skew(K, height, name, where)
    _check_principal_point(K, width, height, name, where)
    coefficients, distortion_notes = checked_distortion(distortion, model, where)
    full = Camera.from_K(K, width, height, coefficients)
    notes += distortion_notes + _checked_straightening(full, where)
    if (note := principal_point_note(full)) is not None:
        notes.append(note)
    return CheckedCamera(full if window is None else _windowed(full, window, where), tuple(notes))


def checked_distortion(values: Iterable[float], model: str, where: str) -> tuple[tuple[float, ...], list[str]]:
    """OpenCV's coefficients, none where all are zero, and notes.

    Zeros beyond a number of coefficients that OpenCV has are padding and left out.

    Raises:
        BinposeError: for a model other than OpenCV's, a count that it does not have, or numbers that are not finite.
    """
    numbers, model = _numbers(values), model.strip().lower()
    if model not in (*OPENCV_MODELS, *NO_DISTORTION, *OTHER_PINHOLE_MODELS):
        raise _refused_model(model, where)
    if not all(map(np.isfinite, numbers)):
        raise BinposeError(
            f"The distortion coefficients in {where} are {_listed(numbers)}; expected finite numbers; calibrate the "
            "camera again.",
            Reason.UNKNOWN_DISTORTION,
        )
    if not any(numbers):
        return (), []
    if model not in OPENCV_MODELS:
        raise _refused_model(model, where)
    fitting = [count for count in DISTORTION_COUNTS if count <= len(numbers) and not any(numbers[count:])]
    if not fitting:
        raise BinposeError(
            f"The distortion in {where} has {len(numbers)} coefficients, {_listed(numbers)}; expected OpenCV's 4, 5, "
            "8, 12 or 14 (k1, k2, p1, p2, k3, ...); calibrate the camera again, or fill up with zeros.",
            Reason.UNKNOWN_DISTORTION,
        )
    coefficients = numbers[: fitting[-1]]
    if model == "plumb_bob" and any(coefficients[PLUMB_BOB:]):
        return coefficients, [
            f"The camera has {len(coefficients)} distortion coefficients, more than the 5 of its model plumb_bob: read "
            "as rational_polynomial."
        ]
    return coefficients, []


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (OverflowError, TypeError, ValueError):
        return (float("nan"),)


def _listed(numbers: Sequence[float]) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:14])
    return f"[{shown}{', ...' if len(numbers) > 14 else ''}]"


def _refused_model(model: str, where: str) -> BinposeError:
    return BinposeError(
        f"The distortion model in {where} is {model!r}; expected plumb_bob or rational_polynomial, or none without "
        "coefficients; undistort the images first (in ROS: rectify them with image_proc, and set the parameter "
        "`rectified`).",
        Reason.UNKNOWN_DISTORTION,
    )


def _checked_size(size: tuple[int, int], where: str) -> tuple[int, int]:
    width, height = map(int, size)
    if not (1 <= width <= LARGEST_PX and 1 <= height <= LARGEST_PX):
        raise BinposeError(
            f"The image size in {where} is {width}x{height}; expected 1 to {LARGEST_PX} pixels each; give the size of "
            "the images.",
            Reason.UNCALIBRATED_CAMERA,
        )
    return width, height


def _checked_matrix(values: Any, name: str, where: str) -> FloatArray:
    try:
        K = np.array(values, dtype=np.float64).reshape(3, 3)
    except (OverflowError, TypeError, ValueError):
        K = np.full((3, 3), np.nan)
    if not np.isfinite(K).all():
        raise BinposeError(
            f"{name} is {_short(values)} in {where}; expected 9 finite numbers; correct the matrix.",
            Reason.UNCALIBRATED_CAMERA,
        )
    if np.array_equal(K[2], (0, 0, 1)) and K[1, 0] == 0:
        return K
    if np.array_equal(K[:, 2], (0, 0, 1)) and K[0, 1] == 0:
        problem, remedy = "is written column by column", "transpose it"
    elif np.array_equal(K[2, :2], (0, 0)) and K[2, 2] > 0 and K[1, 0] == 0:
        problem, remedy = "is scaled", f"divide it by {K[2, 2]:g}"
    else:
        problem, remedy = "is no calibration matrix", "correct the matrix"
    raise BinposeError(
        f"{name} in {where} {problem}: its rows are {'; '.join(_row(row) for row in K)}; expected fx 0 cx; 0 fy cy; "
        f"0 0 1; {remedy}.",
        Reason.UNCALIBRATED_CAMERA,
    )


def _short(values: Any) -> str:
    text = str(np.asarray(values).tolist() if isinstance(values, np.ndarray) else values)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _row(row: FloatArray) -> str:
    return " ".join(f"{value:g}" for value in row)


def _checked_skew(K: FloatArray, height: int, name: str, where: str) -> list[str]:
    skew = K[0, 1]
    if not skew:
        return []
    if abs(skew) > 2 * SKEW_PX * K[1, 1] / height:
        raise BinposeError(
            f"{name} in {where} has a skew of {skew:g}; expected 0 in its first row's second place; calibrate without "
            "skew.",
            Reason.UNCALIBRATED_CAMERA,
        )
    return [f"The camera matrix has a skew of {skew:g}, which moves no pixel by more than {SKEW_PX:g}: ignored."]


def _check_focal_lengths(K: FloatArray, width: int, height: int, name: str, where: str) -> None:
    least, most = (factor * max(width, height) for factor in FOCAL_LENGTHS)
    fx, fy = K[0, 0], K[1, 1]
    if not (least <= fx <= most and least <= fy <= most):
        raise BinposeError(
            f"The focal lengths of {name} in {where} are fx={fx:g}, fy={fy:g}; expected {least:g} to {most:g} pixels "
            f"for an image of {width}x{height}; give them in pixels of this image.",
            Reason.UNCALIBRATED_CAMERA,
        )
    if max(fx / fy, fy / fx) > LARGEST_RATIO:
        raise BinposeError(
            f"The focal lengths of {name} in {where} are fx={fx:g}, fy={fy:g}; expected them to differ by less than a "
            f"factor of {LARGEST_RATIO:g}; correct the one that is wrong.",
            Reason.UNCALIBRATED_CAMERA,
        )


def _check_principal_point(K: FloatArray, width: int, height: int, name: str, where: str) -> None:
    for axis, focal, center, size in (("cx", K[0, 0], K[0, 2], width), ("cy", K[1, 1], K[1, 2], height)):
        if max(abs(center), abs(size - 1 - center)) > STEEPEST_RAY * focal:
            raise BinposeError(
                f"The principal point of {name} in {where} has {axis}={center:g}; expected about {(size - 1) / 2:g}, "
                f"the centre of an image of {width}x{height}; correct it.",
                Reason.UNCALIBRATED_CAMERA,
            )


def principal_point_note(camera: Camera) -> str | None:
    """A remark on a principal point far from the centre, as a matrix of another image size has it."""
    away = [
        abs(center - (size - 1) / 2) > CENTRAL * size
        for center, size in ((camera.cx, camera.width), (camera.cy, camera.height))
    ]
    if not any(away):
        return None
    other = f"{max(1, round(2 * camera.cx + 1))}x{max(1, round(2 * camera.cy + 1))}"
    return (
        f"The principal point ({camera.cx:.1f}, {camera.cy:.1f}) lies {'in a corner' if all(away) else 'at a border'} "
        f"of the image of {camera.width}x{camera.height} pixels: unless the image is a crop, the camera matrix is "
        f"probably of another size (about {other})."
    )


def _checked_straightening(camera: Camera, where: str) -> list[str]:
    """Whether the ideal camera's pixels are found in the distorted image, in their order."""
    if not camera.distortion:
        return []
    columns, rows = _distorted_grid(camera)
    with np.errstate(invalid="ignore", over="ignore"):
        inside = (columns >= -1) & (columns <= camera.width) & (rows >= -1) & (rows <= camera.height)
        ordered = (np.diff(columns, axis=1)[:-1] > 0) & (np.diff(rows, axis=0)[:, :-1] > 0)
    if (inside[:-1, :-1] & ordered).mean() < LEAST_STRAIGHT:
        raise BinposeError(
            f"The distortion coefficients in {where}, {_listed(camera.distortion)}, leave less than half of the image; "
            "expected those of a lens (k1, k2, p1, p2, k3, ...) for this matrix; calibrate the camera again.",
            Reason.UNKNOWN_DISTORTION,
        )
    if ordered.all():
        return []
    return [
        f"The distortion coefficients {_listed(camera.distortion)} fold the image at its border, where poses are "
        "wrong; calibrate with a pattern that reaches the border."
    ]


def _distorted_grid(camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Columns and rows (GRID, GRID) at which the image shows a grid of the ideal camera's pixels."""
    if camera.width == 1 or camera.height == 1:
        camera = camera.resized(max(2, camera.width), max(2, camera.height))
    u, v = np.meshgrid(np.linspace(0, camera.width - 1, GRID), np.linspace(0, camera.height - 1, GRID))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    coefficients = np.array(camera.distortion)
    pixels, _ = cv2.projectPoints(rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), camera.K, coefficients)
    grid = np.asarray(pixels, np.float64).reshape(GRID, GRID, 2)
    return grid[..., 0], grid[..., 1]


def _windowed(full: Camera, window: Window, where: str) -> Camera:
    binning_x, binning_y = max(1, window.binning_x), max(1, window.binning_y)
    x, y, width, height = window[:4] if window[:4] != (0, 0, 0, 0) else (0, 0, full.width, full.height)
    if not (0 <= x < x + width <= full.width and 0 <= y < y + height <= full.height):
        raise BinposeError(
            f"The region of interest in {where} is {width}x{height} pixels from ({x}, {y}); expected a part of the "
            f"full resolution, {full.width}x{full.height}, or zeros for all of it; correct the camera's driver.",
            Reason.UNCALIBRATED_CAMERA,
        )
    if binning_x > width or binning_y > height:
        raise BinposeError(
            f"The binning in {where} is {binning_x}x{binning_y} for {width}x{height} pixels; expected no more than "
            "their number; correct the camera's driver.",
            Reason.UNCALIBRATED_CAMERA,
        )
    cx, cy = (full.cx - x) / binning_x, (full.cy - y) / binning_y
    size = width // binning_x, height // binning_y
    return Camera(full.fx / binning_x, full.fy / binning_y, cx, cy, *size, full.distortion)
