"""Errors of an estimated pose and the recalls made of them, as BOP and YCB-Video define them.

Poses are (4, 4), points (N, 3) in metres of the object frame, symmetries (S, 4, 4) with
``T_obj_obj`` under which the part looks the same, the identity among them.

Sources: Hinterstoisser et al., ACCV 2012 (ADD, ADI); Xiang et al., PoseCNN, RSS 2018 (AUC);
Brachmann et al., CVPR 2016 (2D projection); Hodan et al., BOP challenge 2020 on 6D object
localization, ECCVW 2020 (VSD, MSSD, MSPD and their recalls).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError, cKDTree

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.masks import box_xyxy
from binpose_core.geometry.transforms import FloatArray, inverse, transform

BOP_FRACTIONS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 11))
"""VSD's tau (of the diameter) and theta, and MSSD's theta (of the diameter): 0.05 to 0.5."""
BOP_MSPD_PX: tuple[float, ...] = tuple(5.0 * step for step in range(1, 11))
"""MSPD's theta in pixels of an image 640 pixels wide: 5 to 50."""
BOP_VSD_DELTA_M = 0.015


def add(T_est: FloatArray, T_gt: FloatArray, points: FloatArray) -> float:
    """ADD: the mean distance in metres between corresponding points under the two poses."""
    return float(_distances(transform(T_est, points), transform(T_gt, points)).mean())


def adi(T_est: FloatArray, T_gt: FloatArray, points: FloatArray, tree: cKDTree | None = None) -> float:
    """ADI: the mean distance in metres from each true point to the nearest estimated one.

    The nearest neighbour is sought in the object frame, where the points never move: pass
    ``tree=cKDTree(points)`` to build it once for many poses.
    """
    tree = cKDTree(points) if tree is None else tree
    T_est_gt = inverse(np.asarray(T_est, dtype=np.float64)) @ T_gt
    distances, _ = tree.query(transform(T_est_gt, points))
    return float(distances.mean())


def add_s(
    T_est: FloatArray,
    T_gt: FloatArray,
    points: FloatArray,
    symmetric: bool,
    tree: cKDTree | None = None,
) -> float:
    """ADD(-S) in metres: ADI for a symmetric part, ADD for any other."""
    return adi(T_est, T_gt, points, tree) if symmetric else add(T_est, T_gt, points)


def projection_error_px(T_est: FloatArray, T_gt: FloatArray, points: FloatArray, camera: Camera) -> float:
    """The mean distance in pixels between the projections of corresponding points."""
    return float(_pixel_distances(transform(T_est, points), transform(T_gt, points), camera).mean())


def mssd(T_est: FloatArray, T_gt: FloatArray, points: FloatArray, symmetries: FloatArray) -> float:
    """MSSD: the maximum distance in metres of corresponding points, minimum over the symmetries.

    The distance is a convex function of the point, so `hull_vertices` of a mesh give the same
    value as all of its vertices.
    """
    return float(metre_maxima(T_est, T_gt @ np.asarray(symmetries), points).min())


def mspd(T_est: FloatArray, T_gt: FloatArray, points: FloatArray, symmetries: FloatArray, camera: Camera) -> float:
    """MSPD: the maximum distance in pixels of projections, minimum over the symmetries."""
    return float(pixel_maxima(T_est, T_gt @ np.asarray(symmetries), points, camera).min())


def metre_maxima(T_est: FloatArray, T_gt: FloatArray, points: FloatArray) -> FloatArray:
    """The maximum distance in metres (...) of points under T_est (4, 4) and each T_gt (..., 4, 4)."""
    return _distances(transform(T_est, points), transform(T_gt, points)).max(axis=-1)


def pixel_maxima(T_est: FloatArray, T_gt: FloatArray, points: FloatArray, camera: Camera) -> FloatArray:
    """The maximum distance in pixels (...) of projections under T_est (4, 4) and each T_gt (..., 4, 4)."""
    return _pixel_distances(transform(T_est, points), transform(T_gt, points), camera).max(axis=-1)


def vsd(
    depth_est_m: FloatArray,
    depth_gt_m: FloatArray,
    depth_m: FloatArray,
    camera: Camera,
    taus_m: Sequence[float] | FloatArray,
    delta_m: float = BOP_VSD_DELTA_M,
) -> npt.NDArray[np.float64]:
    """VSD with BOP's step cost: the share of the visible surface that differs by tau or more.

    Distances are measured along the rays, as BOP does.

    Args:
        depth_est_m: (H, W) rendering of the part alone in the estimated pose, 0 = background.
        depth_gt_m: (H, W) the same in the true pose.
        depth_m: (H, W) observed, 0 = invalid; the part counts as visible where it is invalid (BOP19).
        camera: of all three images.
        taus_m: (T,) misalignment tolerances in metres.
        delta_m: tolerance of the visibility test in metres.

    Returns:
        (T,) errors in [0, 1], one per tau; 1 where neither pose shows any visible surface.

    Raises:
        BinposeError: for images of different sizes.
    """
    if not depth_est_m.shape == depth_gt_m.shape == depth_m.shape == (camera.height, camera.width):
        raise BinposeError(
            f"VSD of renderings {depth_est_m.shape} and {depth_gt_m.shape} with depth {depth_m.shape} for a camera of "
            f"{camera.width}x{camera.height}; expected one size; render with the camera of the frame."
        )
    window = _window((depth_est_m > 0) | (depth_gt_m > 0))
    ray = _ray_lengths(camera, window)
    est, gt, seen = (image[window].astype(np.float64) * ray for image in (depth_est_m, depth_gt_m, depth_m))
    visible_gt = _visible(gt, seen, delta_m)
    visible_est = _visible(est, seen, delta_m) | (visible_gt & (est > 0))
    both, either = visible_gt & visible_est, visible_gt | visible_est
    taus = np.asarray(taus_m, dtype=np.float64)
    if not either.any():
        return np.ones(len(taus))
    differences = np.sort(np.abs(gt[both] - est[both]))
    misaligned = len(differences) - np.searchsorted(differences, taus, side="left")
    return (misaligned + either.sum() - both.sum()) / either.sum()


def auc(errors: FloatArray, max_error: float = 0.1) -> float:
    """The area under the accuracy-threshold curve up to `max_error`, in [0, 1].

    The area of the step curve is exact: each error contributes ``1 - error / max_error``.

    Args:
        errors: (N,), infinite for a part that was not found.
        max_error: 0.1 m is PoseCNN's limit for ADD and ADI; ``0.1 * diameter_m`` is one relative to the part.
    """
    errors = np.asarray(errors, dtype=np.float64)
    return float(np.clip(1.0 - errors / max_error, 0.0, 1.0).mean()) if errors.size else float("nan")


def auc_ycb_video(errors: FloatArray, max_error: float = 0.1) -> float:
    """The same area by the quadrature of the YCB-Video toolbox, to compare with published tables.

    It takes each step's height at its right end and is thereby larger than `auc`, by at most 1 / N.
    """
    errors = np.sort(np.asarray(errors, dtype=np.float64))
    if errors.size == 0:
        return float("nan")
    inside = errors[errors <= max_error]
    if inside.size == 0:
        return 0.0
    heights = np.arange(1, inside.size + 1) / errors.size
    edges = np.concatenate([[0.0], inside, [max_error]])
    return float(np.diff(edges) @ np.append(heights, heights[-1]) / max_error)


def recall(errors: FloatArray, threshold: float) -> float:
    """The share of the errors (N,) strictly below the threshold; infinite = not found."""
    errors = np.asarray(errors)
    return float((errors < threshold).mean()) if errors.size else float("nan")


def hull_vertices(points: FloatArray) -> FloatArray:
    """The points (M, 3) that span the convex hull of points (N, 3); all where they are flat."""
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        return points


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.linalg.norm(a - b, axis=-1)


def _pixel_distances(a_cam: FloatArray, b_cam: FloatArray, camera: Camera) -> FloatArray:
    """Pixels between the projections of points (..., N, 3); infinite for one behind the camera."""
    in_front = (a_cam[..., 2] > 0) & (b_cam[..., 2] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(in_front, _distances(camera.project(a_cam), camera.project(b_cam)), np.inf)


def _window(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that contain every pixel of the mask; empty for an empty mask."""
    x0, y0, x1, y1 = box_xyxy(mask)
    return slice(y0, y1), slice(x0, x1)


def _ray_lengths(camera: Camera, window: tuple[slice, slice]) -> FloatArray:
    """Distance from the camera's centre per metre of depth, of the pixels of a window."""
    u = (np.arange(window[1].start, window[1].stop) - camera.cx) / camera.fx
    v = (np.arange(window[0].start, window[0].stop) - camera.cy) / camera.fy
    return np.sqrt(1.0 + u[None, :] ** 2 + v[:, None] ** 2)


def _visible(model_m: FloatArray, seen_m: FloatArray, delta_m: float) -> npt.NDArray[np.bool_]:
    return (model_m > 0) & ((model_m - seen_m <= delta_m) | (seen_m == 0))
