"""The evidence for and against poses, measured at the frame's own pixels.

Every pixel of a rendered hypothesis falls into one case:

- the observed depth agrees: explained;
- something is observed in front: occluded, which is no evidence against the pose unless the detection's own
  mask claims that pixel;
- something is observed behind: the part would stand in free space, a violation;
- no depth: neutral, or explained by the mask where the detection covers it.

To these come the mask (its pixels ask for an explanation), the normals, the contour (outside of the silhouette
the surface must not go on at the same depth: against longer rods, rims of holes and plates) and the image's
gradient along the contour. Depth differences are measured along the rendered normal, with a dead zone.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.geometry import FloatArray
from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.duel import duels
from binpose_refinement.kernels import rotated_normal
from binpose_refinement.observation import Observation

FEATURES = (
    "explained",  # agreeing pixels / pixels with evidence
    "violation",  # free-space violations / expected visible pixels
    "violation_core",  # the same without a border of one pixel
    "mask_explained",  # mask pixels that the pose explains / mask pixels
    "mask_iou",  # of the mask and the rendering that is not occluded
    "mask_in_front",  # mask pixels observed in front of the rendering / mask pixels
    "visible",  # agreeing pixels / rendered pixels
    "occluded",  # rendered pixels behind something observed / rendered pixels
    "occluded_unknown",  # those that no other detection covers / rendered pixels
    "unknown",  # rendered pixels without depth outside of the mask / rendered pixels
    "stolen",  # agreeing pixels that another detection covers / agreeing pixels
    "normals",  # mean cosine between observed and rendered normals
    "normals_wrong",  # share of agreeing pixels with a cosine below 0.7
    "residual",  # root mean square of the agreeing pixels' difference / tolerance
    "contour_confirmed",  # silhouette points with a step to what lies behind / all that can tell
    "contour_continued",  # silhouette points beyond which the surface goes on / all that can tell
    "contour_edge",  # mean image gradient across the silhouette, saturated, in [0, 1]
    "evidence",  # log10 of the number of agreeing pixels (in pixels of the frame)
    "no_depth",  # 1 when the frame has no depth
    "confidence",  # of the pose network
    "detection",  # score of the detection
    "other_class",  # 1 when the class is not the detection's first
    "lead",  # hand-made score minus that of the best different pose of the detection
    "duel",  # margin over the strongest rival on the pixels where both differ, in [-1, 1]
    "duel_px",  # log10 of the number of pixels which that rests on
)
MEASURED = FEATURES.index("confidence")  # the first so many come from the kernel
CONTOUR_STEP_PX = 2.5
SATURATED_GRADIENT = 12.0  # gray levels per pixel of a clear edge
GOOD_COSINE = 0.7


def tolerance_of(observation: Observation, tolerance_m: float, sigmas: float) -> float:
    """Depth difference in metres that counts as agreement at this frame's noise."""
    return tolerance_m + sigmas * observation.noise_m


def measure(
    workshop: Workshop, observation: Observation, batch: Batch, level: int, size_px: int, tolerance_m: float
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.uint8], FloatArray]:
    """Features of all hypotheses.

    Returns:
        features: (B, MEASURED) float64, the first MEASURED of FEATURES.
        duel: (B, 2) the last two of FEATURES.
        explained: (B, size_px, size_px) uint8, 1 where depth (or, without depth, mask) agrees.
        windows: (B, 3) where those crops lie, see `Workshop.windows`; their steps are integers.
    """
    windows = workshop.windows(batch, observation.camera, size_px, whole_steps=True)
    drawn = workshop.draw(batch, level, windows, observation.camera, size_px)
    features = np.zeros((len(batch), MEASURED))
    explained = np.zeros(drawn.depth_m.shape, np.uint8)
    _measure(
        drawn.depth_m, drawn.face_ids, workshop.normals, workshop.first_face[batch.part, level],
        np.ascontiguousarray(batch.T_cam_obj, dtype=np.float64), windows, observation.camera.intrinsics,
        observation.depth_m, observation.normals, observation.labels, observation.edges, batch.owner,
        observation.mask_px, tolerance_m, observation.has_depth, features, explained,
    )  # fmt: skip
    duel = duels(drawn.depth_m, windows, batch.owner, observation.depth_m, observation.labels, tolerance_m)
    return features, np.stack(duel, -1), explained, windows


def handmade_score(features: FloatArray) -> FloatArray:
    """Score (B,) in [0, 1] of features (B, >= MEASURED) where no calibration exists: not a probability.

    The share of evidence that speaks for the pose, lowered where the contour is contradicted, normals
    disagree, pixels belong to others, or little of the part is seen. Without depth: the masks' overlap.
    """
    f = {name: features[:, i] for i, name in enumerate(FEATURES[:MEASURED])}
    contour = 1.0 - 0.6 * f["contour_continued"]
    normals = np.clip(f["normals"], 0.0, 1.0) * (1.0 - 0.5 * f["normals_wrong"])
    others = 1.0 - 0.7 * f["stolen"]
    free = np.clip(1.0 - 1.5 * f["violation_core"], 0.0, 1.0)
    support = 10.0 ** f["evidence"]
    with_depth = f["explained"] * contour * normals * others * free * support / (support + 30.0)
    image = f["mask_iou"] * (0.8 + 0.2 * f["contour_edge"])
    return np.clip(np.where(f["no_depth"] > 0, image, with_depth), 0.0, 1.0)


@njit(parallel=True, cache=True)
def _measure(
    depth_r, faces_r, normals, first_face, T_cam_obj, windows, intrinsics, depth_o, normals_o, labels, edges, owner,
    mask_px, tolerance, has_depth, features, explained_map,
):  # fmt: skip
    for b in prange(depth_r.shape[0]):
        _measure_one(
            depth_r[b], faces_r[b], normals, first_face[b], T_cam_obj[b], windows[b], intrinsics, depth_o, normals_o,
            labels, edges, owner[b], mask_px[owner[b]], tolerance, has_depth, features[b], explained_map[b],
        )  # fmt: skip


@njit
def _measure_one(
    depth_r, faces_r, normals, first_face, T, window, intrinsics, depth_o, normals_o, labels, edges, owner, mask_px,
    tolerance, has_depth, f, explained_map,
):  # fmt: skip
    size = depth_r.shape[0]
    height, width = depth_o.shape
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    rendered, agreed, violated, violated_core, occluded, occluded_unknown, unknown = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    stolen, in_front, mask_agreed, mask_drawn, normal_sum, normal_count, normal_wrong, squares = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    hard, confirmed, continued, contour_neutral, edge_sum, edge_count = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for v in range(size):
        row = v0 + step * v
        if row < 0 or row >= height:
            continue
        for u in range(size):
            column = u0 + step * u
            z = depth_r[v, u]
            if z <= 0.0 or column < 0 or column >= width:
                continue
            rendered += 1.0
            label = labels[row, column]
            own = label == owner
            zo = depth_o[row, column]
            x, y = (column - cx) / fx, (row - cy) / fy
            nx, ny, nz = rotated_normal(normals, first_face + faces_r[v, u], T, x, y, 1.0)
            if own:
                mask_drawn += 1.0
            border = (
                v == 0 or u == 0 or v == size - 1 or u == size - 1
                or depth_r[v - 1, u] <= 0.0 or depth_r[v + 1, u] <= 0.0
                or depth_r[v, u - 1] <= 0.0 or depth_r[v, u + 1] <= 0.0
            )  # fmt: skip
            if border:
                kind, edge = _contour(
                    depth_r, v, u, row, column, step, z, depth_o, labels, edges, owner, tolerance
                )
                if kind == 1:
                    confirmed += 1.0
                elif kind == 2:
                    continued += 1.0
                else:
                    contour_neutral += 1.0
                if edge >= 0.0:
                    edge_sum += edge
                    edge_count += 1.0
            if zo <= 0.0:
                if own:
                    mask_agreed += 1.0
                    if not has_depth:
                        explained_map[v, u] = 1
                else:
                    unknown += 1.0
                continue
            slant = max(-(nx * x + ny * y + nz) / np.sqrt(x * x + y * y + 1.0), 0.2)
            d = (zo - z) * slant / tolerance
            if abs(d) < 2.0:
                soft = min(1.0, 2.0 - abs(d))
                agreed += soft
                if abs(d) < 1.0:
                    hard += 1.0
                    explained_map[v, u] = 1
                    squares += d * d
                    if label >= 0 and not own:
                        stolen += 1.0
                    ox, oy, oz = normals_o[row, column, 0], normals_o[row, column, 1], normals_o[row, column, 2]
                    if oz != 0.0:
                        cosine = nx * ox + ny * oy + nz * oz
                        normal_sum += cosine
                        normal_count += 1.0
                        normal_wrong += cosine < GOOD_COSINE
                if own:
                    mask_agreed += soft
            if d > 1.0:
                part = min(d - 1.0, 1.0)
                violated += part
                if not border and _all_behind(depth_o, row, column, step, z, tolerance / slant):
                    violated_core += part
            elif d < -1.0:
                part = min(-d - 1.0, 1.0)
                if own:
                    in_front += part
                else:
                    occluded += part
                    if label < 0:
                        occluded_unknown += part
    mask = max(mask_px / (step * step), 1.0)
    missed = max(mask - mask_agreed - in_front, 0.0)
    known = max(rendered - occluded, 1.0)
    told = max(confirmed + continued, 0.15 * (confirmed + continued + contour_neutral) + 1.0)
    f[0] = agreed / (agreed + violated + in_front + missed + 1.0)
    f[1] = violated / known
    f[2] = violated_core / known
    f[3] = min(mask_agreed / mask, 1.0)
    f[4] = mask_drawn / max(known + mask - mask_drawn, 1.0)
    f[5] = min(in_front / mask, 1.0)
    f[6] = agreed / max(rendered, 1.0)
    f[7] = occluded / max(rendered, 1.0)
    f[8] = occluded_unknown / max(rendered, 1.0)
    f[9] = unknown / max(rendered, 1.0)
    f[10] = stolen / max(hard, 1.0)
    f[11] = normal_sum / max(normal_count, 1.0)
    f[12] = normal_wrong / max(normal_count, 1.0)
    f[13] = np.sqrt(squares / max(hard, 1.0))
    f[14] = confirmed / told
    f[15] = continued / told
    f[16] = edge_sum / max(edge_count, 1.0)
    f[17] = np.log10(1.0 + hard * step * step)
    f[18] = 0.0 if has_depth else 1.0


@njit
def _all_behind(depth_o, row, column, step, z, tolerance):
    """No measurement among the neighbours comes near the rendered depth: not a matter of one pixel."""
    height, width = depth_o.shape
    for i in range(-1, 2):
        for j in range(-1, 2):
            r, c = row + i, column + j
            if 0 <= r < height and 0 <= c < width and 0.0 < depth_o[r, c] < z + tolerance:
                return False
    return True


@njit
def _contour(depth_r, v, u, row, column, step, z, depth_o, labels, edges, owner, tolerance):
    """What lies just outside of a silhouette pixel: (1 step back, 2 surface goes on, 0 cannot tell; image edge)."""
    size = depth_r.shape[0]
    height, width = depth_o.shape
    gu = gv = 0.0
    for i in range(-2, 3):
        for j in range(-2, 3):
            r, c = v + i, u + j
            if r < 0 or r >= size or c < 0 or c >= size or depth_r[r, c] <= 0.0:
                gv += i
                gu += j
    length = np.sqrt(gu * gu + gv * gv)
    if length < 1e-6:
        return 0, -1.0
    gu, gv = gu / length, gv / length
    edge = 0.0
    for k in range(-1, 2):
        r, c = int(np.round(row + k * gv)), int(np.round(column + k * gu))
        if 0 <= r < height and 0 <= c < width:
            edge = max(edge, abs(edges[r, c, 0] * gu + edges[r, c, 1] * gv))
    edge = min(edge / SATURATED_GRADIENT, 1.0)
    reach = max(CONTOUR_STEP_PX, 1.5 * step)
    r, c = int(np.round(row + reach * gv)), int(np.round(column + reach * gu))
    if r < 0 or r >= height or c < 0 or c >= width:
        return 0, edge
    zo, here = depth_o[r, c], depth_o[row, column]
    rv, ru = int(np.round(v + reach / step * gv)), int(np.round(u + reach / step * gu))
    if 0 <= rv < size and 0 <= ru < size and depth_r[rv, ru] > 0.0:
        return 0, edge  # the part itself goes on there
    if zo <= 0.0:
        return (2, edge) if labels[r, c] == owner else (0, edge)
    # Extrapolate the rendered surface from two pixels inside.
    iv, iu = int(np.round(v - reach / step * gv)), int(np.round(u - reach / step * gu))
    ahead = z
    if 0 <= iv < size and 0 <= iu < size and depth_r[iv, iu] > 0.0:
        slope = z - depth_r[iv, iu]
        limit = 3.0 * tolerance
        ahead = z + min(max(slope, -limit), limit)
    if here > 0.0 and here < z - 2.0 * tolerance:
        return 0, edge  # the silhouette itself is hidden
    if zo > max(ahead, z) + 1.5 * tolerance:
        return 1, edge
    if abs(zo - ahead) <= 1.5 * tolerance or abs(zo - z) <= tolerance:
        return 2, edge
    return (2, edge) if labels[r, c] == owner else (0, edge)
