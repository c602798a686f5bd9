# mypy: disable-error-code="no-untyped-def"
"""The joint loss of a rendering, and its Gauss-Newton equations, for every hypothesis.

Inside the silhouette, each pixel of the detection gives an equation that moves the rendered plane onto the observed
depth. Across the silhouette, each pair of a covered and an uncovered neighbour is searched along its row or column for
the border with the least loss, which gives an equation for the contour.
"""

import numpy as np
from numba import njit, prange

from binpose_refinement.kernels.algebra import outwards, rotated_normal
from binpose_refinement.kernels.color import compare_colors

REACH_PX = 8  # how far along a row or column the border is searched
OUTWARDS_SQUARED_PX = 10  # a disc of three pixels
COLOR_REACH_PX = 1  # M of Mu et al., eq. 6
GRAZING_COSINE = 0.05  # faces seen under a smaller cosine do not constrain the distance
SLANTED_COSINE = 0.5  # below it the sensor's noise grows as fast as its component along the normal falls
# Columns of a tally of pixels.
EXPLAINED, GEOMETRY, BOTH, EITHER = 0, 1, 2, 3
TALLIES = 4
# Classes of a pixel.
OUTSIDE, OWN, OTHER, NOBODY = 0, 1, 2, 3


@njit(parallel=True, cache=True)
def compare_all(
    depth_r, faces_r, normals, first_face, T_cam_obj, centers, levers, windows, reach, intrinsics, depth_o, labels,
    owner, tolerance, truncation, weights, contour_info, chroma_f, colored, chroma_o, chroma_scale, loss, gradient,
    curvature, information,
):  # fmt: skip
    """Fill loss (B,), gradient (B, 6), curvature and information (B, 6, 6); information has unit weight per pixel.

    Derivatives are by (shift, rotation about the centre times the lever), both in metres. weights: (3,) of geometry,
    overlap and colour. contour_info: weight of a contour position in pixels relative to a depth in metres.
    chroma_f, chroma_o: chroma of the faces (F, 2) and of the image (H, W, 2), used where `colored` (B,) is set.
    """
    for b in prange(depth_r.shape[0]):
        center = np.empty(3)
        for i in range(3):
            center[i] = T_cam_obj[b, i, 3]
            for j in range(3):
                center[i] += T_cam_obj[b, i, j] * centers[b, j]
        size = depth_r.shape[1]
        pixels = np.empty((size, size), np.uint8)
        _classify(windows[b], reach[b], labels, owner[b], pixels)
        tally = np.zeros(TALLIES)
        _compare(
            depth_r[b], faces_r[b], normals, first_face[b], T_cam_obj[b], center, levers[b], windows[b], intrinsics,
            depth_o, pixels, tolerance, truncation, tally, gradient[b], curvature[b], information[b],
        )  # fmt: skip
        scale = weights[0] * tolerance / truncation / max(tally[EXPLAINED], 1.0)
        union = max(tally[EITHER], 1.0)
        loss[b] = scale * tally[GEOMETRY] + weights[1] * (1.0 - tally[BOTH] / union)
        gradient[b] *= scale
        curvature[b] *= scale
        flips = np.array([
            weights[0] / max(tally[EXPLAINED], 1.0), weights[1] / union, weights[1] * tally[BOTH] / union / union
        ])  # fmt: skip
        _contour(
            depth_r[b], center, levers[b], windows[b], intrinsics, depth_o, pixels, truncation, flips, contour_info,
            gradient[b], curvature[b], information[b],
        )  # fmt: skip
        if colored[b]:
            loss[b] += weights[2] * compare_colors(
                depth_r[b], faces_r[b], chroma_f, first_face[b], center, levers[b], windows[b], intrinsics, chroma_o,
                pixels, OWN, COLOR_REACH_PX, chroma_scale, weights[2], gradient[b], curvature[b],
            )  # fmt: skip
        for i in range(6):
            for j in range(i):
                curvature[b, j, i] = curvature[b, i, j]
                information[b, j, i] = information[b, i, j]


@njit
def _classify(window, reach, labels, owner, pixels):
    """Classify each crop pixel; those farther than `reach` from the centre count as outside, for any crop size."""
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    middle = step * (pixels.shape[0] - 1) / 2
    for v in range(pixels.shape[0]):
        row = v0 + step * v
        for u in range(pixels.shape[1]):
            column = u0 + step * u
            if (
                max(abs(step * v - middle), abs(step * u - middle)) > reach
                or row < 0
                or row >= labels.shape[0]
                or column < 0
                or column >= labels.shape[1]
            ):
                pixels[v, u] = OUTSIDE
            else:
                label = labels[row, column]
                pixels[v, u] = OWN if label == owner else (OTHER if label >= 0 else NOBODY)


@njit
def _hidden(kind, zo, z, truncation):
    """Whether a pixel covered at depth z is occluded and ignored; z = 0 for an uncovered one."""
    if kind == OWN:
        return False
    if kind == OTHER and zo < z + 1e-9:
        return True
    return 0.0 < zo < z - truncation


@njit
def _compare(
    depth_r, faces_r, normals, first_face, T, center, lever, window, intrinsics, depth_o, pixels, tolerance, truncation,
    tally, g, H, information,
):  # fmt: skip
    """Tally all pixels, and add the equations of those with a rendered and an observed depth."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    limit = truncation / tolerance
    J = np.empty(6)
    g[:] = 0.0
    H[:] = 0.0
    information[:] = 0.0
    for v in range(depth_r.shape[0]):
        y = (v0 + step * v - cy) / fy
        for u in range(depth_r.shape[1]):
            kind, z = pixels[v, u], depth_r[v, u]
            if kind == OUTSIDE or (z <= 0.0 and kind != OWN):
                continue
            zo = depth_o[v0 + step * v, u0 + step * u]
            if _hidden(kind, zo, z, truncation):
                continue
            tally[EITHER] += 1.0
            if z <= 0.0:
                if zo > 0.0:
                    tally[EXPLAINED] += 1.0
                    tally[GEOMETRY] += limit
                continue
            own = kind == OWN
            tally[BOTH] += own
            if zo <= 0.0:
                continue
            x = (u0 + step * u - cx) / fx
            nx, ny, nz = rotated_normal(normals, first_face + faces_r[v, u], T, x, y, 1.0)
            toward = nx * x + ny * y + nz
            r = (zo - z) * toward
            d = abs(r) / tolerance
            cost = min(0.5 * d * d if d < 1.0 else d - 0.5, limit)
            if not own:
                if cost > 0.5 * limit:
                    tally[GEOMETRY] += limit
                continue
            tally[EXPLAINED] += 1.0
            tally[GEOMETRY] += cost
            if cost >= limit or -toward < GRAZING_COSINE * np.sqrt(x * x + y * y + 1.0):
                continue
            w = 1.0 / (tolerance * tolerance * max(d, 1.0))
            # The noise is along the ray; its component along the normal is smaller.
            certainty = 1.0 / max(toward * toward, SLANTED_COSINE**2) if d < 2.0 else 0.0
            ax, ay, az = (x * z - center[0]) / lever, (y * z - center[1]) / lever, (z - center[2]) / lever
            J[0], J[1], J[2] = nx, ny, nz
            J[3], J[4], J[5] = ay * nz - az * ny, az * nx - ax * nz, ax * ny - ay * nx
            for i in range(6):
                g[i] -= w * r * J[i]
                for j in range(i + 1):
                    H[i, j] += w * J[i] * J[j]
                    information[i, j] += certainty * J[i] * J[j]


@njit
def _contour(
    depth_r, center, lever, window, intrinsics, depth_o, pixels, truncation, flips, contour_info, g, H, information
):  # fmt: skip
    """Add the equations of the pixel pairs across the silhouette."""
    size = depth_r.shape[0]
    for v in range(size):
        for u in range(size):
            if depth_r[v, u] <= 0.0:
                continue
            nu = nv = 0.0
            for axis in range(2):
                for sign in (-1, 1):
                    du, dv = (sign, 0) if axis == 0 else (0, sign)
                    if not (0 <= v + dv < size and 0 <= u + du < size) or depth_r[v + dv, u + du] > 0.0:
                        continue
                    if nu == 0.0 and nv == 0.0:
                        nu, nv = outwards(depth_r, v, u, OUTWARDS_SQUARED_PX, False)
                        if nu == 0.0 and nv == 0.0:
                            break
                    along = nu * du + nv * dv
                    if along < 0.2:
                        continue
                    shift, weight = _best_border(depth_r, v, u, dv, du, window, depth_o, pixels, truncation, flips)
                    if weight <= 0.0:
                        continue
                    _add_contour(
                        depth_r[v, u], v, u, nu, nv, along * shift, weight, contour_info, center, lever, window,
                        intrinsics, g, H, information,
                    )  # fmt: skip


@njit
def _best_border(depth_r, v, u, dv, du, window, depth_o, pixels, truncation, flips):
    """The best position of the border in pixels outwards, and its weight per squared pixel."""
    size, z = depth_r.shape[0], depth_r[v, u]
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    best, gain, shift = 0.0, 0.0, 0
    outward = inward = 0.0
    for k in range(1, REACH_PX + 1):
        r, c = v + k * dv, u + k * du
        if r < 0 or c < 0 or r >= size or c >= size or pixels[r, c] == OUTSIDE or depth_r[r, c] > 0.0:
            break
        gain += _cover(pixels[r, c], depth_o[v0 + step * r, u0 + step * c], z, truncation, flips)
        if k == 1:
            outward = gain
        if gain < best:
            best, shift = gain, k
    gain = 0.0
    for k in range(REACH_PX):
        r, c = v - k * dv, u - k * du
        if r < 0 or c < 0 or r >= size or c >= size or pixels[r, c] == OUTSIDE or depth_r[r, c] <= 0.0:
            break
        gain -= _cover(pixels[r, c], depth_o[v0 + step * r, u0 + step * c], depth_r[r, c], truncation, flips)
        if k == 0:
            inward = gain
        if gain < best:
            best, shift = gain, -k - 1
    if shift != 0:
        return shift, -best / (shift * shift)
    return 0, max(min(outward, inward), 0.0)


@njit
def _cover(kind, zo, z, truncation, flips):
    """Decrease of the loss when a pixel is covered at depth z."""
    if _hidden(kind, zo, z, truncation):
        return 0.0
    if kind == OWN:
        agrees = zo > 0.0 and abs(zo - z) < truncation
        return -flips[1] - (flips[0] if agrees else 0.0)
    return flips[2] + (flips[0] if zo > z + 0.5 * truncation else 0.0)


@njit
def _add_contour(
    z, v, u, nu, nv, shift, weight, contour_info, center, lever, window, intrinsics, g, H, information
):  # fmt: skip
    """Add the equation that moves the surface point of a contour pixel by `shift` crop pixels along (nu, nv)."""
    step = window[2]
    fx, fy = intrinsics[0] / step, intrinsics[1] / step
    x = (window[0] + step * u - intrinsics[2]) / intrinsics[0]
    y = (window[1] + step * v - intrinsics[3]) / intrinsics[1]
    a, b = nu * fx / z, nv * fy / z
    c = -(a * x + b * y)
    ax, ay, az = (x * z - center[0]) / lever, (y * z - center[1]) / lever, (z - center[2]) / lever
    J = np.array([a, b, c, ay * c - az * b, az * a - ax * c, ax * b - ay * a])
    for i in range(6):
        g[i] -= weight * shift * J[i]
        for j in range(i + 1):
            H[i, j] += weight * J[i] * J[j]
            information[i, j] += contour_info * J[i] * J[j]
