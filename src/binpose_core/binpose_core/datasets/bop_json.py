"""The JSON files of BOP data sets, checked as they are read."""

import sys
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.files import read_json
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation


class Annotation(NamedTuple):
    """The known pose of one part.

    T_cam_obj: (4, 4) float64, metres.
    visible_fraction: of its silhouette, in [0, 1]; NaN where the data set does not tell.
    info: the part's entry of scene_gt_info.json, as it stands there.
    """

    obj_id: int
    T_cam_obj: FloatArray
    visible_fraction: float
    info: dict[str, Any]


def as_annotation(truth: dict[str, Any], info: dict[str, Any], where: str) -> Annotation:
    """The pose in an entry of a scene's annotations.

    Args:
        truth: the entry of scene_gt.json.
        info: the one of scene_gt_info.json that belongs to it, or an empty dictionary.
        where: the place to name in an error.

    Raises:
        BinposeError: for a pose that is none or without the number of its object.
    """
    rotation = finite_array(truth.get("cam_R_m2c"), (3, 3), "cam_R_m2c", where)
    translation_mm = finite_array(truth.get("cam_t_m2c"), (3,), "cam_t_m2c", where)
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise BinposeError(
            f"cam_R_m2c is not a rotation in {where}; expected an orthonormal right-handed matrix, row by row."
        )
    obj_id = truth.get("obj_id")
    if not isinstance(obj_id, int) or isinstance(obj_id, bool):
        raise BinposeError(f"obj_id is {obj_id} in {where}; expected the number of a model; correct the file.")
    fraction = info.get("visib_fract")
    if fraction is not None and not is_number(fraction):
        raise BinposeError(f"visib_fract is {fraction!r} in {where}; expected a number from 0 to 1; correct the file.")
    pose = from_rotation_translation(rotation, translation_mm * 1e-3)
    return Annotation(obj_id, pose, float("nan") if fraction is None else float(fraction), info)


def finite_array(values: Any, shape: tuple[int, ...], key: str, where: str) -> FloatArray:
    """Numbers of a JSON file as an array; raises BinposeError for too few, too many or none."""
    try:
        array = np.asarray(values, dtype=np.float64).reshape(shape)
    except (OverflowError, TypeError, ValueError):
        array = np.full(shape, np.nan)
    if not np.isfinite(array).all():
        shown = str(values) if len(str(values)) <= 200 else f"{str(values)[:200]}..."
        raise BinposeError(f"{key} is {shown} in {where}; expected {array.size} finite numbers; correct the file.")
    return array


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of a JSON file is a finite number that a float can hold; NaN, true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def as_pixels(value: Any, key: str, where: str) -> int:
    """A length in pixels from a JSON file; raises BinposeError for what is no whole number."""
    if not is_number(value) or value != int(value):
        raise BinposeError(f"{key} is {value!r} in {where}; expected a whole number of pixels; correct the file.")
    return int(value)


def as_entry(value: Any, where: str) -> dict[str, Any]:
    """An entry with named values from a JSON file; raises BinposeError for anything else."""
    if not isinstance(value, dict):
        raise BinposeError(f"The entry is {value!r} in {where}; expected named values in {{}}; correct the file.")
    return value


def as_entries(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of such entries; raises BinposeError for anything else."""
    if not isinstance(value, list):
        raise BinposeError(f"The entry is {value!r} in {where}; expected a list, one entry per part; correct the file.")
    return [as_entry(item, where) for item in value]


def entries_by_image(path: Path) -> dict[int, Any]:
    """Image number -> entry, which is checked when its image is read: a bad one must not stop the others.

    Raises:
        BinposeError: for a key that is no number.
    """
    entries: dict[int, Any] = {}
    for key, value in read_json_object(path).items():
        if not is_digits(key):
            raise BadFile(f'A key of {path} is not the number of an image ({key!r}); expected keys like "0".', path)
        if int(key) in entries:
            raise BadFile(f"{path} has two entries for image {int(key)}; expected one each; remove one.", path)
        entries[int(key)] = value
    return entries


def is_digits(text: str) -> bool:
    """Whether a name is a number as BOP data sets write it: digits alone."""
    return text.isascii() and text.isdigit()


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises BinposeError for a file that holds none."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise BadFile(
            f"{path} holds a {type(content).__name__}; expected named entries in {{}}; correct the file.", path
        )
    return content
