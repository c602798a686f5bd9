"""The z-buffer: numba kernels that rasterise triangles, parallel over images, and over strips of rows of few images.

Triangles of any winding are drawn. Those that cross the near plane are clipped there. 1/z is interpolated linearly over
the image, which is exact for planes.

A pixel of the buffer is one integer: the bits of the float32 1/z above those of the primitive. Positive floats have the
order of their bits, so the nearer surface is the larger integer. One `max` per pixel, which processors vectorise, draws
depth and face together.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from binpose_core.rendering.backends import NOTHING

# A face seen edge-on has an area of rounding errors, and its depths would be arbitrary.
LEAST_AREA_PX2 = 1e-9
# Rounding may lose a pixel on the common edge of two triangles.
SLACK = 1e-9
# Number of pixels of a row that are drawn at once, enough for most triangles of a part. Eight take half as long again,
# because the compiler unrolls them one by one.
LANES = 16
# Of equally near surfaces the first is drawn: primitives are counted down from here.
LAST = 0xFFFFFFFF
# Without reference counts of the rows, the triangles take a tenth less time.
UNCOUNTED: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


@njit(inline="always")
def _key(w, label):
    return (np.int64(np.float32(w).view(np.int32)) << 32) | label


@njit(inline="always")
def _draw_projected(u0, v0, w0, u1, v1, w1, u2, v2, w2, hidden, label, width, nearest):
    """Draw one triangle given as image points (u, v) and w = 1 / z into nearest (rows, width + LANES).

    It is skipped if its area, positive clockwise in the image, has the sign of `hidden`.
    """
    area = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
    if area * hidden > 0.0 or abs(area) < LEAST_AREA_PX2:
        return
    first_u = np.ceil(max(min(u0, u1, u2), 0.0))
    last_u = np.floor(min(max(u0, u1, u2), width - 1.0))
    first_v = np.ceil(max(min(v0, v1, v2), 0.0))
    last_v = np.floor(min(max(v0, v1, v2), nearest.shape[0] - 1.0))
    if not (first_u <= last_u and first_v <= last_v):
        return
    scale = 1.0 / area
    # Barycentric weights b1, b2 are affine in (u, v), and so is w; b0 = 1 - b1 - b2.
    b1_u, b1_v = (v2 - v0) * scale, (u0 - u2) * scale
    b2_u, b2_v = (v0 - v1) * scale, (u1 - u0) * scale
    b1 = b1_v * (first_v - v0) + b1_u * (first_u - u0)
    b2 = b2_v * (first_v - v0) + b2_u * (first_u - u0)
    d1, d2 = w1 - w0, w2 - w0
    w_u = b1_u * d1 + b2_u * d2
    left, count, top, bottom = int(first_u), last_u - first_u, int(first_v), int(last_v) + 1
    # Two loops instead of one with a branch: a fifth faster.
    if count < LANES:
        for v in range(top, bottom):
            w = w0 + b1 * d1 + b2 * d2
            row = nearest[v, left : left + LANES]
            for k in range(LANES):
                a, b = b1 + k * b1_u, b2 + k * b2_u
                inside = (a >= -SLACK) & (b >= -SLACK) & (a + b <= 1.0 + SLACK)
                row[k] = max(row[k], _key(w + k * w_u, label) if inside else np.int64(0))
            b1 += b1_v
            b2 += b2_v
        return
    for v in range(top, bottom):
        w = w0 + b1 * d1 + b2 * d2
        # Each weight is non-negative on one side of a column: the row's pixels are the intersection of the three sides.
        lo, hi = 0.0, count
        for base, slope in ((1.0 - b1 - b2, -b1_u - b2_u), (b1, b1_u), (b2, b2_u)):
            if slope > 0.0:
                lo = max(lo, (-SLACK - base) / slope)
            elif slope < 0.0:
                hi = min(hi, (-SLACK - base) / slope)
            elif base < -SLACK:
                hi = -1.0
        row = nearest[v, left:]
        for k in range(int(np.ceil(lo)), int(np.floor(hi)) + 1):
            row[k] = max(row[k], _key(w + k * w_u, label))
        b1 += b1_v
        b2 += b2_v


@njit(inline="always")
def _crossing(ax, ay, az, bx, by, bz, near):
    """The point of the edge a-b at z = near."""
    t = (near - az) / (bz - az)
    return ax + t * (bx - ax), ay + t * (by - ay)


@njit(error_model="numpy")
def _draw_clipped(corners, near, intrinsics, row_lo, label, width, nearest):
    """Draw a triangle (3, 3) in camera coordinates that is partly in front of the near plane."""
    fx, fy, cx, cy = intrinsics
    polygon = np.empty((4, 3))
    count = 0
    for i in range(3):
        a, b = corners[i], corners[(i + 1) % 3]
        if a[2] >= near:
            polygon[count] = a
            count += 1
        if (a[2] >= near) != (b[2] >= near):
            x, y = _crossing(a[0], a[1], a[2], b[0], b[1], b[2], near)
            polygon[count, 0], polygon[count, 1], polygon[count, 2] = x, y, near
            count += 1
    for i in range(count):
        w = 1.0 / polygon[i, 2]
        polygon[i, 0] = fx * polygon[i, 0] * w + cx
        polygon[i, 1] = fy * polygon[i, 1] * w + cy - row_lo
        polygon[i, 2] = w
    for i in range(1, count - 1):
        p, q, r = polygon[0], polygon[i], polygon[i + 1]
        _draw_projected(p[0], p[1], p[2], q[0], q[1], q[2], r[0], r[1], r[2], 0.0, label, width, nearest)


@njit(inline="always")
def _four(row):
    return row[0], row[1], row[2], row[3]


@njit(inline="always")
def _row(f, a, c, b):
    return f * a[0] + c * b[0], f * a[1] + c * b[1], f * a[2] + c * b[2], f * a[3] + c * b[3]


@njit(error_model="numpy")
def _project(vertices, T_cam_obj, intrinsics, near, out):
    """Fill out (V, 3) with u, v, w = 1/z; w = -1 marks a vertex before the near plane. Returns whether none is."""
    least = np.inf
    fx, fy, cx, cy = intrinsics
    x0, x1, x2, x3 = _row(fx, T_cam_obj[0], cx, T_cam_obj[2])
    y0, y1, y2, y3 = _row(fy, T_cam_obj[1], cy, T_cam_obj[2])
    z0, z1, z2, z3 = _row(1.0, T_cam_obj[2], 0.0, T_cam_obj[2])
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        z_cam = z0 * x + z1 * y + z2 * z + z3
        w = 1.0 / z_cam
        out[i, 0] = (x0 * x + x1 * y + x2 * z + x3) * w
        out[i, 1] = (y0 * x + y1 * y + y2 * z + y3) * w
        out[i, 2] = w if z_cam >= near else -1.0
        least = min(least, z_cam)
    return least >= near


@njit(error_model="numpy")
def _hidden_side(T_cam_obj, intrinsics):
    """The sign of a face's area in the image if the camera sees its back; a mirroring pose inverts it."""
    a, b, c = T_cam_obj[0], T_cam_obj[1], T_cam_obj[2]
    volume = (
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    return np.sign(volume * intrinsics[0] * intrinsics[1])


@njit(error_model="numpy")
def _rows(projected):
    """The first and last row covered by projected vertices."""
    low, high = np.inf, -np.inf
    for i in range(projected.shape[0]):
        low, high = min(low, projected[i, 1]), max(high, projected[i, 1])
    return low, high


@njit(**UNCOUNTED)
def _draw_mesh(faces, projected, hidden, row_lo, first, width, nearest):
    """Draw a mesh with projected vertices, except for faces that cross the near plane; returns their number.

    Faces whose area has the sign of `hidden` are skipped too. Primitives are numbered from `first`, rows from row_lo.
    """
    crossing = 0
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        w0, w1, w2 = projected[i, 2], projected[j, 2], projected[k, 2]
        if w0 > 0.0 and w1 > 0.0 and w2 > 0.0:
            _draw_projected(
                projected[i, 0], projected[i, 1] - row_lo, w0, projected[j, 0], projected[j, 1] - row_lo, w1,
                projected[k, 0], projected[k, 1] - row_lo, w2, hidden, LAST - (first + f), width, nearest,
            )  # fmt: skip
        elif w0 > 0.0 or w1 > 0.0 or w2 > 0.0:
            crossing += 1
    return crossing


@njit(error_model="numpy")
def _draw_crossing(vertices, faces, T_cam_obj, intrinsics, near, projected, row_lo, first, width, nearest):
    """Draw the faces that `_draw_mesh` skipped at the near plane."""
    corners = np.empty((3, 3))
    for f in range(faces.shape[0]):
        w0, w1, w2 = projected[faces[f, 0], 2], projected[faces[f, 1], 2], projected[faces[f, 2], 2]
        if min(w0, w1, w2) > 0.0 or not max(w0, w1, w2) > 0.0:
            continue
        for c in range(3):
            p = vertices[faces[f, c]]
            for d in range(3):
                corners[c, d] = (
                    T_cam_obj[d, 0] * p[0] + T_cam_obj[d, 1] * p[1] + T_cam_obj[d, 2] * p[2] + T_cam_obj[d, 3]
                )
        _draw_clipped(corners, near, intrinsics, row_lo, LAST - (first + f), width, nearest)


@njit(error_model="numpy")
def _draw_instance(vertices, faces, T_cam_obj, camera, near, projected, one_sided, row_lo, first, nearest):
    """Draw a mesh with projected vertices; the back faces of a one-sided mesh are skipped."""
    hidden, width = _hidden_side(T_cam_obj, camera) if one_sided else 0.0, nearest.shape[1] - LANES
    if _draw_mesh(faces, projected, hidden, row_lo, first, width, nearest) > 0:
        _draw_crossing(vertices, faces, T_cam_obj, camera, near, projected, row_lo, first, width, nearest)


@njit(error_model="numpy")
def _unpack(nearest, firsts, begin, depth, instances, face_ids):
    """Decode the buffer; instance begin + n has the primitives firsts[n]..firsts[n + 1] - 1."""
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            key = nearest[v, u]
            drawn = key > 0
            depth[v, u] = np.float32(1.0) / np.int32(key >> 32).view(np.float32) if drawn else np.float32(0.0)
            instances[v, u] = begin if drawn else NOTHING
            face_ids[v, u] = LAST - (key & LAST) if drawn else NOTHING
    if len(firsts) <= 2:
        return
    n = 0  # neighbours mostly belong to the same instance: search from the last one
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            primitive = face_ids[v, u]
            if primitive != NOTHING:
                while primitive < firsts[n]:
                    n -= 1
                while primitive >= firsts[n + 1]:
                    n += 1
                instances[v, u] = begin + n
                face_ids[v, u] = primitive - firsts[n]


@njit(parallel=True, cache=True, error_model="numpy")
def project_instances(
    vertices, vertex_start, mesh_ids, T_cam_obj, image_of, intrinsics, near, start, projected, in_front, reach
):  # fmt: skip
    """Fill projected (start[-1], 3), in_front (N,) and reach (N, 2), the rows, of instances in images image_of (N,)."""
    for n in prange(len(mesh_ids)):
        m, camera = mesh_ids[n], _four(intrinsics[image_of[n]])
        own = projected[start[n] : start[n + 1]]
        in_front[n] = _project(vertices[vertex_start[m] : vertex_start[m + 1]], T_cam_obj[n], camera, near, own)
        reach[n] = _rows(own) if in_front[n] else (-np.inf, np.inf)


@njit(parallel=True, cache=True, error_model="numpy")
def draw_strips(
    vertices, faces, vertex_start, face_start, solid, mesh_ids, T_cam_obj, first_instance, intrinsics, near,
    threads, strips_per_thread, start, projected, in_front, reach, depth, instances, face_ids,
):  # fmt: skip
    """Fill depth (I, h, w), instances and face_ids, each image in threads * strips_per_thread strips of rows.

    The arguments are those of `PackedMeshes`, `Images` and `project_instances`.
    """
    images, height, _ = depth.shape
    strips = threads * strips_per_thread
    for job in prange(images * strips):
        image, part = job // strips, job % strips
        # A thread takes consecutive jobs; assign it strips from all over the image, to balance full and empty ones.
        part = part % strips_per_thread * threads + part // strips_per_thread
        low, high = part * height // strips, (part + 1) * height // strips
        begin, end, camera = first_instance[image], first_instance[image + 1], _four(intrinsics[image])
        nearest = np.zeros((high - low, depth.shape[2] + LANES), np.int64)
        firsts = np.zeros(end - begin + 1, np.int64)
        for n in range(begin, end):
            m, first = mesh_ids[n], firsts[n - begin]
            firsts[n - begin + 1] = first + face_start[m + 1] - face_start[m]
            if reach[n, 0] <= high - 1 and reach[n, 1] >= low:
                _draw_instance(
                    vertices[vertex_start[m] : vertex_start[m + 1]], faces[face_start[m] : face_start[m + 1]],
                    T_cam_obj[n], camera, near, projected[start[n] : start[n + 1]], solid[m] and in_front[n],
                    low, first, nearest,
                )  # fmt: skip
        _unpack(nearest, firsts, begin, depth[image, low:high], instances[image, low:high], face_ids[image, low:high])


@njit(parallel=True, cache=True, error_model="numpy")
def draw_images(
    vertices, faces, vertex_start, face_start, solid, mesh_ids, T_cam_obj, first_instance, intrinsics, near,
    depth, instances, face_ids,
):  # fmt: skip
    """Fill depth (I, h, w), instances and face_ids, each image as a whole; the arguments are those of `draw_strips`."""
    for image in prange(len(depth)):
        begin, end, camera = first_instance[image], first_instance[image + 1], _four(intrinsics[image])
        nearest = np.zeros((depth.shape[1], depth.shape[2] + LANES), np.int64)
        firsts = np.zeros(end - begin + 1, np.int64)
        for n in range(begin, end):
            m, first = mesh_ids[n], firsts[n - begin]
            firsts[n - begin + 1] = first + face_start[m + 1] - face_start[m]
            own = vertices[vertex_start[m] : vertex_start[m + 1]]
            projected = np.empty((len(own), 3))
            in_front = _project(own, T_cam_obj[n], camera, near, projected)
            _draw_instance(
                own, faces[face_start[m] : face_start[m + 1]], T_cam_obj[n], camera, near, projected,
                solid[m] and in_front, 0, first, nearest,
            )  # fmt: skip
        _unpack(nearest, firsts, begin, depth[image], instances[image], face_ids[image])
