"""Projective ICP of many hypotheses at once: observed points against the rendered visible surface.

Each round renders every hypothesis in a small window, pairs the observed points of its region with the nearest
rendered point in a neighbourhood of pixels, and takes damped Gauss-Newton steps on point-to-plane (with a share
of point-to-point) distances. Scene to model, since the reverse is biased by millimetres on partial views. Where
the mask has no depth (shiny parts) its pixels pull the silhouette sideways. The best-scored pose of all rounds,
the start included, is kept: refinement never makes a hypothesis worse by its own measure.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.geometry import FloatArray
from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.kernels import rotated_normal, rotation_of, solve_spd
from binpose_refinement.observation import Observation

SEARCH = 2  # the neighbourhood has up to (2 * SEARCH + 1)^2 rendered points, `stride` pixels apart
DENSE_PX = 400  # masks with more pixels in the crop are thinned to every second one
NORMAL_GATE = 0.4  # cosine between observed and rendered normal below which points do not belong together
STEPS_PER_RENDER = 2
OTHER_LABEL_WEIGHT = 0.1  # pixels that another detection claims
NO_LABEL_WEIGHT = 0.7
SILHOUETTE_WEIGHT = 0.5


@dataclass(frozen=True)
class Schedule:
    """How one call of `align` anneals.

    size_px: crop; level: level of detail of the workshop; rounds: renderings that are followed by steps.
    gate_start, gate_end_m: farthest association, share of the diameter at the start, metres at the end.
    point_share: weight of point-to-point against point-to-plane at the start; falls to a tenth.
    tolerance_m: depth difference that counts as agreement in the score.
    """

    size_px: int
    level: int
    rounds: int
    gate_start: float
    gate_end: float
    gate_end_m: float
    point_share: float
    tolerance_m: float


@dataclass(frozen=True)
class Alignment:
    """T_cam_obj (B, 4, 4); agreement (B,) in [0, 1]; information (B, 6, 6): the normal equations J^T W J of
    (translation of the part's centre in m, rotation in rad) at the last step, for residuals in metres."""

    T_cam_obj: FloatArray
    agreement: FloatArray
    information: FloatArray


def align(workshop: Workshop, observation: Observation, batch: Batch, schedule: Schedule) -> Alignment:
    """Refine all hypotheses; poses that do not improve come back unchanged."""
    camera = observation.camera
    diameter = workshop.diameter_m[batch.part]
    centers = workshop.center_m[batch.part]
    first_face = workshop.first_face[batch.part, schedule.level]
    windows = workshop.windows(batch, camera, schedule.size_px)
    current = np.ascontiguousarray(batch.T_cam_obj, dtype=np.float64)
    best, best_score = current.copy(), np.full(len(batch), -1.0)
    information = np.zeros((len(batch), 6, 6))
    mask_px = observation.mask_px[batch.owner] / windows[:, 2] ** 2
    for k in range(schedule.rounds + 1):
        progress = k / max(schedule.rounds - 1, 1)
        end = np.maximum(schedule.gate_end_m, schedule.gate_end * diameter)
        start = np.maximum(schedule.gate_start * diameter, end)
        gate = start * (end / start) ** min(progress, 1.0)
        pixel_m = windows[:, 2] * workshop.centers_cam(batch.moved(current))[:, 2] / camera.fx
        stride = np.clip(np.round(gate / (SEARCH * pixel_m)), 1, 4).astype(np.int64)
        reach = np.where(gate < 1.5 * pixel_m, 1, SEARCH)
        drawn = workshop.draw(batch.moved(current), schedule.level, windows, camera, schedule.size_px)
        score = np.empty(len(batch))
        moved, H = np.empty_like(current), np.empty_like(information)
        _round(
            drawn.depth_m, drawn.face_ids, workshop.normals, first_face, current, centers, diameter, windows,
            camera.intrinsics, observation.depth_m, observation.normals, observation.labels, batch.owner, mask_px,
            gate, stride, reach, schedule.point_share * 0.1 ** min(progress, 1.0), schedule.tolerance_m,
            STEPS_PER_RENDER if k < schedule.rounds else 0, score, moved, H,
        )  # fmt: skip
        better = score > best_score
        best[better], best_score[better] = current[better], score[better]
        if k < schedule.rounds:
            current, information = moved, H
    return Alignment(best, np.maximum(best_score, 0.0), information)


@njit(parallel=True, cache=True)
def _round(
    depth_r, faces_r, normals, first_face, T_cam_obj, centers, diameter, windows, intrinsics, depth_o, normals_o,
    labels, owner, mask_px, gate, stride, reach, point_share, tolerance, steps, score, T_out, information,
):  # fmt: skip
    """One rendering: score the pose (B,), then take `steps` Gauss-Newton steps into T_out (B, 4, 4)."""
    size = depth_r.shape[1]
    for b in prange(depth_r.shape[0]):
        surface = np.empty((size, size, 6), np.float32)
        _surface(
            depth_r[b], faces_r[b], normals, first_face[b], T_cam_obj[b], windows[b], intrinsics, surface
        )
        score[b] = _agreement(
            depth_r[b], surface, windows[b], depth_o, normals_o, labels, owner[b], mask_px[b], tolerance
        )
        T_out[b] = T_cam_obj[b]
        information[b] = 0.0
        if steps == 0:
            continue
        pairs = np.empty((2 * size * size, 11), np.float32)
        count = _associate(
            depth_r[b], surface, windows[b], intrinsics, depth_o, normals_o, labels, owner[b], gate[b], stride[b],
            reach[b], mask_px[b] > DENSE_PX, pairs,
        )  # fmt: skip
        if count < 6:
            continue
        center = np.empty(3)
        for i in range(3):
            center[i] = T_cam_obj[b, i, 3]
            for j in range(3):
                center[i] += T_cam_obj[b, i, j] * centers[b, j]
        _step(pairs[:count], center, 0.4 * diameter[b], gate[b], point_share, steps, T_out[b], information[b])


@njit
def _surface(depth, faces, normals, first, T, window, intrinsics, out):
    """Rendered points and their normals (h, w, 6) in the camera frame."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if z <= 0.0:
                continue
            x = (window[0] + window[2] * u - cx) / fx * z
            y = (window[1] + window[2] * v - cy) / fy * z
            nx, ny, nz = rotated_normal(normals, first + faces[v, u], T, x, y, z)
            out[v, u, 0], out[v, u, 1], out[v, u, 2] = x, y, z
            out[v, u, 3], out[v, u, 4], out[v, u, 5] = nx, ny, nz


@njit
def _agreement(depth_r, surface, window, depth_o, normals_o, labels, owner, mask_px, tolerance):
    """Evidence for the pose over all evidence: explained / (explained + violated + mask left unexplained)."""
    explained = violated = missed = seen = 0.0
    for v in range(depth_r.shape[0]):
        row = int(window[1] + window[2] * v + 0.5)
        if row < 0 or row >= depth_o.shape[0]:
            continue
        for u in range(depth_r.shape[1]):
            column = int(window[0] + window[2] * u + 0.5)
            if column < 0 or column >= depth_o.shape[1]:
                continue
            own = labels[row, column] == owner
            seen += own
            z, zo = depth_r[v, u], depth_o[row, column]
            if z <= 0.0:
                if own:
                    missed += 1.0
                continue
            if zo <= 0.0:
                if own:
                    explained += 0.5
                continue
            d = (zo - z) * max(-surface[v, u, 5], 0.3) / tolerance
            if abs(d) < 2.0:
                close = min(1.0, 2.0 - abs(d))
                cosine = (
                    surface[v, u, 3] * normals_o[row, column, 0]
                    + surface[v, u, 4] * normals_o[row, column, 1]
                    + surface[v, u, 5] * normals_o[row, column, 2]
                )
                known = normals_o[row, column, 2] != 0.0
                fit = close * (0.3 + 0.7 * max(cosine, 0.0) if known else 0.6)
                explained += fit if own else 0.6 * fit
                missed += close - fit if own else 0.0
                if d > 1.0:
                    violated += d - 1.0
                elif own and d < -1.0:
                    missed += -d - 1.0
            elif d > 0.0:
                violated += 1.0
            elif own:
                missed += 1.0
    missed += max(0.0, mask_px - seen)  # mask beyond the window
    return explained / (explained + violated + missed + 10.0)


@njit
def _associate(depth_r, surface, window, intrinsics, depth_o, normals_o, labels, owner, gate, stride, reach, thin, pairs):
    """Fill pairs (N, 11) = observed point, rendered point, its normal, weight, kind (0 surface, 1 silhouette)."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    size, count = depth_r.shape[0], 0
    for v in range(size):
        row = int(window[1] + window[2] * v + 0.5)
        if row < 0 or row >= depth_o.shape[0]:
            continue
        for u in range(size):
            column = int(window[0] + window[2] * u + 0.5)
            if column < 0 or column >= depth_o.shape[1]:
                continue
            label = labels[row, column]
            z, zo = depth_r[v, u], depth_o[row, column]
            if zo > 0.0 and thin and (u + v) % 2:
                continue
            if zo > 0.0 and (label == owner or (z > 0.0 and abs(zo - z) < gate)):
                x, y = (column - cx) / fx * zo, (row - cy) / fy * zo
                nx, ny, nz = normals_o[row, column, 0], normals_o[row, column, 1], normals_o[row, column, 2]
                best, best_v, best_u = gate * gate, -1, -1
                for i in range(-reach, reach + 1):
                    rv = v + i * stride
                    if rv < 0 or rv >= size:
                        continue
                    for j in range(-reach, reach + 1):
                        ru = u + j * stride
                        if ru < 0 or ru >= size or depth_r[rv, ru] <= 0.0:
                            continue
                        dx, dy, dz = surface[rv, ru, 0] - x, surface[rv, ru, 1] - y, surface[rv, ru, 2] - zo
                        d = dx * dx + dy * dy + dz * dz
                        if d < best:
                            cosine = nx * surface[rv, ru, 3] + ny * surface[rv, ru, 4] + nz * surface[rv, ru, 5]
                            if nz == 0.0 or cosine > NORMAL_GATE:
                                best, best_v, best_u = d, rv, ru
                if best_v >= 0:
                    weight = 1.0 if label == owner else (NO_LABEL_WEIGHT if label < 0 else OTHER_LABEL_WEIGHT)
                    _write(pairs, count, x, y, zo, surface[best_v, best_u], weight, 0.0)
                    count += 1
            elif zo <= 0.0 and label == owner and z <= 0.0:
                rv, ru = _nearest_rendered(depth_r, v, u, stride)
                if rv >= 0:
                    zq = surface[rv, ru, 2]
                    _write(pairs, count, (column - cx) / fx * zq, (row - cy) / fy * zq, zq, surface[rv, ru], 1.0, 1.0)
                    count += 1
            elif z > 0.0 and label != owner and (zo > z + gate or (zo <= 0.0 and label < 0)):
                tv, tu = _nearest_own(labels, owner, window, v, u, size, stride)
                if tv >= 0:
                    x = (window[0] + window[2] * tu - cx) / fx * z
                    y = (window[1] + window[2] * tv - cy) / fy * z
                    _write(pairs, count, x, y, z, surface[v, u], 0.5 if zo > 0.0 else 0.2, 1.0)
                    count += 1
    return count


@njit
def _nearest_rendered(depth_r, v, u, stride):
    """The rendered pixel of the neighbourhood that is nearest in the image, or (-1, -1)."""
    size, reach = depth_r.shape[0], SEARCH * stride
    best, best_v, best_u = (reach + 1) ** 2, -1, -1
    for rv in range(max(0, v - reach), min(size - 1, v + reach) + 1):
        for ru in range(max(0, u - reach), min(size - 1, u + reach) + 1):
            d = (rv - v) ** 2 + (ru - u) ** 2
            if d < best and depth_r[rv, ru] > 0.0:
                best, best_v, best_u = d, rv, ru
    return best_v, best_u


@njit
def _nearest_own(labels, owner, window, v, u, size, stride):
    """The crop pixel of the neighbourhood under the hypothesis' own mask that is nearest, or (-1, -1)."""
    reach = SEARCH * stride
    best, best_v, best_u = (reach + 1) ** 2, -1, -1
    for tv in range(max(0, v - reach), min(size - 1, v + reach) + 1):
        row = int(window[1] + window[2] * tv + 0.5)
        if row < 0 or row >= labels.shape[0]:
            continue
        for tu in range(max(0, u - reach), min(size - 1, u + reach) + 1):
            column = int(window[0] + window[2] * tu + 0.5)
            d = (tv - v) ** 2 + (tu - u) ** 2
            if d < best and 0 <= column < labels.shape[1] and labels[row, column] == owner:
                best, best_v, best_u = d, tv, tu
    return best_v, best_u


@njit(inline="always")
def _write(pairs, at, x, y, z, point, weight, kind):
    pairs[at, 0], pairs[at, 1], pairs[at, 2] = x, y, z
    for i in range(6):
        pairs[at, 3 + i] = point[i]
    pairs[at, 9], pairs[at, 10] = weight, kind


@njit
def _step(pairs, center, radius, gate, point_share, steps, T, information):
    """Gauss-Newton on the pairs; T (4, 4) is moved in place, information (6, 6) is that of the last step."""
    R, t = np.eye(3), np.zeros(3)
    turn, g, x, J = np.empty((3, 3)), np.empty(6), np.empty(6), np.empty(6)
    H = np.empty((6, 6))
    scale2 = (0.5 * gate) ** 2
    for _ in range(steps):
        H[:], g[:] = 0.0, 0.0
        for k in range(pairs.shape[0]):
            qx, qy, qz = pairs[k, 3] - center[0], pairs[k, 4] - center[1], pairs[k, 5] - center[2]
            ax = R[0, 0] * qx + R[0, 1] * qy + R[0, 2] * qz
            ay = R[1, 0] * qx + R[1, 1] * qy + R[1, 2] * qz
            az = R[2, 0] * qx + R[2, 1] * qy + R[2, 2] * qz
            ex = pairs[k, 0] - center[0] - ax - t[0]
            ey = pairs[k, 1] - center[1] - ay - t[1]
            ez = pairs[k, 2] - center[2] - az - t[2]
            weight = pairs[k, 9]
            if pairs[k, 10] == 0.0:
                mx, my, mz = pairs[k, 6], pairs[k, 7], pairs[k, 8]
                nx = R[0, 0] * mx + R[0, 1] * my + R[0, 2] * mz
                ny = R[1, 0] * mx + R[1, 1] * my + R[1, 2] * mz
                nz = R[2, 0] * mx + R[2, 1] * my + R[2, 2] * mz
                r = nx * ex + ny * ey + nz * ez
                w = weight / (1.0 + r * r / scale2) ** 2
                _add_row(H, g, J, w, nx, ny, nz, ax, ay, az, r)
                share = w * point_share
                _add_row(H, g, J, share, 1.0, 0.0, 0.0, ax, ay, az, ex)
                _add_row(H, g, J, share, 0.0, 1.0, 0.0, ax, ay, az, ey)
                _add_row(H, g, J, share, 0.0, 0.0, 1.0, ax, ay, az, ez)
            else:
                # The point should come onto the pixel's ray, hence onto two planes through it.
                px, py = pairs[k, 0] / pairs[k, 2], pairs[k, 1] / pairs[k, 2]
                rx, ry = ex - px * ez, ey - py * ez
                w = SILHOUETTE_WEIGHT * weight / (1.0 + (rx * rx + ry * ry) / scale2)
                _add_row(H, g, J, w, 1.0, 0.0, -px, ax, ay, az, rx)
                _add_row(H, g, J, w, 0.0, 1.0, -py, ax, ay, az, ry)
        for i in range(6):
            for j in range(i):
                H[j, i] = H[i, j]
        information[:] = H
        damping = 1e-3 * (H[0, 0] + H[1, 1] + H[2, 2]) / 3.0 + 1e-9
        for i in range(3):
            H[i, i] += damping
            H[3 + i, 3 + i] += damping * radius * radius
        if not solve_spd(H, g, x):
            return
        rotation_of(x[3], x[4], x[5], turn)
        R = turn @ R
        # Points move as center + R (q - center) + t, so the turn acts on the rotated arm and not on t.
        t += x[:3]
    arm = np.empty(3)
    for i in range(3):
        arm[i] = T[i, 3] - center[i]
    T[:3, :3] = R @ np.ascontiguousarray(T[:3, :3])
    T[:3, 3] = center + R @ arm + t


@njit(inline="always")
def _add_row(H, g, J, weight, nx, ny, nz, ax, ay, az, residual):
    """Add the equation n . (t + w x a) = residual to the lower half of H (6, 6) and to g (6,)."""
    J[0], J[1], J[2] = nx, ny, nz
    J[3], J[4], J[5] = ay * nz - az * ny, az * nx - ax * nz, ax * ny - ay * nx
    for i in range(6):
        scaled = weight * J[i]
        g[i] += scaled * residual
        for j in range(i + 1):
            H[i, j] += scaled * J[j]
