"""Partial labels: hiding some of a view's, and what a pose lies on."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import BACKGROUND, UNKNOWN, UNKNOWN_OBJECT, LabelledView
from binpose_core.geometry.transforms import FloatArray, transform

View = TypeVar("View", bound=LabelledView)


def hide_instances(view: View, keep: npt.NDArray[np.bool_], keep_background: bool = True) -> View:
    """The view with the labels of some parts alone; the pixels of the others are unknown, not background.

    Args:
        view: keeps its parts in number and order; of those that are hidden neither class nor pose is left.
        keep: (N,) which parts stay known.
        keep_background: whether the background stays known too.

    Raises:
        BinposeError: if `keep` is not one value per part.
    """
    keep = np.asarray(keep, bool)
    if keep.shape != (len(view.object_ids),):
        raise BinposeError(
            f"hide_instances of a view of {len(view.object_ids)} parts with keep {keep.shape}; expected one bool each."
        )
    ids = view.instance_ids
    hidden = np.isin(ids, np.flatnonzero(~keep)) | ((ids == BACKGROUND) & (not keep_background))
    return replace(
        view,
        object_ids=tuple(name if kept else UNKNOWN_OBJECT for name, kept in zip(view.object_ids, keep, strict=True)),
        T_cam_obj=np.where(keep[:, None, None], view.T_cam_obj, np.nan),
        instance_ids=np.where(hidden, np.array(UNKNOWN, ids.dtype), ids),
        visible_fraction=np.where(keep, view.visible_fraction, 0.0),
        weight=np.where(keep, view.known_weight, 0.0),
    )


def pixels_under(
    image: npt.NDArray[Any], T_cam_obj: FloatArray, points: FloatArray, camera: Camera
) -> npt.NDArray[Any]:
    """(M,) values of an image (H, W) where points (N, 3) of a part in a pose project; M <= N lie in the image."""
    points_cam = transform(T_cam_obj, points)
    points_cam = points_cam[points_cam[:, 2] > 0]
    columns, rows = np.round(camera.project(points_cam)).astype(np.int64).T
    inside = (rows >= 0) & (columns >= 0) & (rows < image.shape[0]) & (columns < image.shape[1])
    return np.asarray(image[rows[inside], columns[inside]])


def lies_on(
    pixels: npt.NDArray[np.bool_], T_cam_obj: FloatArray, points: FloatArray, camera: Camera, fraction: float
) -> bool:
    """Whether a part with surface samples (N, 3) would show at least this fraction of itself on pixels (H, W).

    A part in this pose that the labels lack could be seen there. One less visible would not count anyway.
    """
    under = pixels_under(pixels, T_cam_obj, points, camera)
    return bool(under.any() and under.sum() >= fraction * len(points))
