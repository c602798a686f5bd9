"""Cameras in JSON files: the camera.json of a plain folder, and the entries of BOP data sets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop_json import as_pixels, is_number
from binpose_core.frames.camera_parameters import CheckedCamera, check_camera

INTRINSICS = ("fx", "fy", "cx", "cy")
MATRICES = ("cam_K", "K")
MODELS = ("distortion_model", "camera_model", "model")
KNOWN = (*INTRINSICS, *MATRICES, *MODELS, "width", "height", "depth_scale", "distortion", "T_world_cam", "bin")
DOCUMENTED = (*INTRINSICS, "width", "height", "depth_scale", "distortion", "distortion_model", "T_world_cam")
# Keys of BOP data sets that do not describe the camera.
BOP_KEYS = ("cam_R_w2c", "cam_t_w2c", "view_level", "elev", "azimuth", "mode", "im_size", "sensor")
# Keys of other programs that change the projection: ignoring one would shift every pose.
GEOMETRY = (
    "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "d", "dist", "dist_coef", "dist_coefs", "dist_coeff", "dist_coeffs",
    "distcoeffs", "coeffs", "distortion_coeffs", "distortion_coefficients", "radial_distortion",
    "tangential_distortion", "skew", "s", "gamma", "xi", "alpha", "camera_matrix", "intrinsic_matrix", "intrinsics",
    "cam_model", "binning", "binning_x", "binning_y", "roi", "projection_model", "lens_model", "distortion",
    "depth_scale", "depthscale", "depth_unit", "depth_units", "depth_factor",
)  # fmt: skip
OTHER_LENSES = ("fisheye", "equidistant", "omni", "kannala", "spherical", "equirectangular", "orthographic", "panorama")
SCALES_MM = (1e-6, 1e6)
EXAMPLE = '{"fx": 600, "fy": 600, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480}'


def camera_of_entry(
    entry: Mapping[str, Any], where: str, *, size: tuple[int, int] | None = None, other_keys: Sequence[str] = ()
) -> CheckedCamera:
    """The camera of an entry with the keys of docs/recording.md.

    Args:
        entry: fx, fy, cx, cy or a matrix cam_K; optionally width, height, distortion and distortion_model.
        where: the file, for errors and notes.
        size: width and height for an entry without them.
        other_keys: further allowed keys.

    Raises:
        BinposeError: for values that are missing or invalid, and for unsupported keys that change the image.
    """
    notes = check_keys(entry, where, other_keys)
    name, matrix = _matrix(entry, where)
    sides = dict(zip(("width", "height"), size, strict=True)) if size else {}
    missing = [key for key in ("width", "height") if not is_number(entry.get(key)) and key not in sides]
    if missing:
        raise _missing(missing, entry, where)
    width, height = (as_pixels(entry.get(key, sides.get(key)), key, where) for key in ("width", "height"))
    distortion, model = distortion_of_entry(entry, where)
    checked = check_camera(matrix, (width, height), where, name=name, distortion=distortion, model=model)
    return CheckedCamera(checked.camera, (*notes, *checked.notes))


def check_keys(entry: Mapping[str, Any], where: str, other_keys: Sequence[str] = ()) -> tuple[str, ...]:
    """A note that names the ignored keys.

    Raises:
        BinposeError: for an unsupported key that changes the image, unless it is empty or zero.
    """
    unknown = [key for key in entry if key not in (*KNOWN, *other_keys) and not key.startswith("_")]
    for key in unknown:
        other_lens = any(lens in f"{key} {entry[key]}".lower() for lens in OTHER_LENSES)
        if (key.lower() in GEOMETRY or other_lens) and _states_something(entry[key]):
            raise BinposeError(
                f"{key} is {_shortened(entry[key])} in {where}, which is not read and would change every pose; "
                f"expected no more than {', '.join(DOCUMENTED)}; undistort the images, or remove the key."
            )
    return (f"Not read in the camera's file: {', '.join(unknown)}.",) if unknown else ()


def distortion_of_entry(entry: Mapping[str, Any], where: str) -> tuple[list[Any], str]:
    """The coefficients and the name of their model, as they are in an entry.

    Raises:
        BinposeError: for coefficients that are not a list of numbers, or contradictory models.
    """
    distortion = entry.get("distortion")
    distortion = [] if distortion is None else distortion
    if not isinstance(distortion, list) or not all(map(is_number, distortion)):
        raise BinposeError(
            f"distortion is {_shortened(distortion)} in {where}; expected a list of OpenCV's 4, 5, 8, 12 or 14 "
            "coefficients (k1, k2, p1, p2, k3, ...), all finite; correct the file."
        )
    models = {key: entry[key] for key in MODELS if entry.get(key) is not None}
    wrong = [key for key, value in models.items() if not isinstance(value, str)]
    if wrong or len(set(models.values())) > 1:
        raise BinposeError(
            f"The distortion model is {_shortened(models)} in {where}; expected one name, such as plumb_bob; correct "
            "the file."
        )
    return distortion, next(iter(models.values()), "")


def depth_scale_mm(value: Any, where: str) -> float:
    """Millimetres of one unit of a depth image.

    Raises:
        BinposeError: if it is not a positive number of a plausible size.
    """
    if not is_number(value) or not SCALES_MM[0] <= value <= SCALES_MM[1]:
        raise BinposeError(
            f"depth_scale is {_shortened(value)} in {where}; expected the millimetres of one unit of the depth image, "
            "such as 1.0 or 0.1; correct it."
        )
    return float(value)


def _matrix(entry: Mapping[str, Any], where: str) -> tuple[str, Any]:
    """The matrix, and its name for errors."""
    name = next((name for name in MATRICES if entry.get(name) is not None), None)
    missing = [key for key in INTRINSICS if not is_number(entry.get(key))]
    if name is None and missing:
        raise _missing([*missing, *(key for key in ("width", "height") if key not in entry)], entry, where)
    fx, fy, cx, cy = (entry.get(key) for key in INTRINSICS)
    stated = [fx, 0, cx, 0, fy, cy, 0, 0, 1]
    if name is None:
        return "fx, fy, cx, cy", stated
    if not missing and not _equal(entry[name], stated):
        raise BinposeError(
            f"{name} and fx, fy, cx, cy disagree in {where}; expected one of them, or the same numbers; remove one."
        )
    return name, entry[name]


def _equal(matrix: Any, stated: Sequence[Any]) -> bool:
    """Whether a matrix has the same values; an invalid matrix is rejected elsewhere."""
    try:
        return bool(np.allclose(np.array(matrix, np.float64).ravel(), np.array(stated, np.float64), atol=0.01))
    except (OverflowError, TypeError, ValueError):
        return True


def _missing(keys: Sequence[str], entry: Mapping[str, Any], where: str) -> BinposeError:
    there = f"; it has {', '.join(map(str, list(entry)[:12]))}" if entry else ""
    return BinposeError(f"No number for {', '.join(keys)} in {where}; expected a file such as {EXAMPLE}{there}.")


def _states_something(value: Any) -> bool:
    """Whether a value is not zero, empty or a list of zeros."""
    if isinstance(value, list):
        return any(map(_states_something, value))
    return bool(value)


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
