"""The z-buffer: numba kernels that draw triangles, parallel over images or over strips of one image.

Pixel (u, v) samples the image at coordinates (u, v). Any winding is drawn, a triangle that crosses the
near plane is clipped there, and 1/z is interpolated linearly over the image, which is exact for planes.
"""

import numpy as np
from numba import njit, prange

NO_FACE = -1
# A face seen exactly from its edge has an area of rounding errors, and would get depths from anywhere.
LEAST_AREA_PX2 = 1e-9


@njit(inline="always")
def _draw_projected(
    u0, v0, w0, u1, v1, w1, u2, v2, w2, primitive, row_lo, row_hi, inverse_depth, primitives
):  # fmt: skip
    """Draw one triangle given as image points (u, v) and w = 1 / z; keeps the largest w per pixel."""
    width = inverse_depth.shape[1]
    lo_u, hi_u = min(u0, u1, u2), max(u0, u1, u2)
    lo_v, hi_v = min(v0, v1, v2), max(v0, v1, v2)
    if hi_u < 0.0 or lo_u > width - 1.0 or hi_v < row_lo or lo_v > row_hi - 1.0:
        return
    area = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
    if abs(area) < LEAST_AREA_PX2:
        return
    first_u, last_u = int(np.ceil(max(lo_u, 0.0))), int(np.floor(min(hi_u, width - 1.0)))
    first_v, last_v = int(np.ceil(max(lo_v, float(row_lo)))), int(np.floor(min(hi_v, row_hi - 1.0)))
    if first_u > last_u or first_v > last_v:
        return
    scale = 1.0 / area
    # Barycentric weights b1, b2 are affine in (u, v); b0 = 1 - b1 - b2.
    b1_u, b1_v = (v2 - v0) * scale, (u0 - u2) * scale
    b2_u, b2_v = (v0 - v1) * scale, (u1 - u0) * scale
    d1, d2 = w1 - w0, w2 - w0
    w_u = b1_u * d1 + b2_u * d2
    b0_u = -b1_u - b2_u
    for v in range(first_v, last_v + 1):
        b1 = b1_v * (v - v0) - b1_u * u0
        b2 = b2_v * (v - v0) - b2_u * u0
        b0 = 1.0 - b1 - b2
        # Each weight is non-negative on one side of a column: the row's pixels are what all three leave.
        left, right = float(first_u), float(last_u)
        for base, slope in ((b0, b0_u), (b1, b1_u), (b2, b2_u)):
            if slope > 0.0:
                left = max(left, (-1e-9 - base) / slope)
            elif slope < 0.0:
                right = min(right, (-1e-9 - base) / slope)
            elif base < -1e-9:
                right = -1.0
        start, stop = int(np.ceil(left)), int(np.floor(right))
        w = w0 + (b1 + b1_u * start) * d1 + (b2 + b2_u * start) * d2
        for u in range(start, stop + 1):
            if w > inverse_depth[v, u]:
                inverse_depth[v, u] = w
                primitives[v, u] = primitive
            w += w_u


@njit(inline="always")
def _crossing(ax, ay, az, bx, by, bz, near):
    """The point of the edge a-b at z = near."""
    t = (near - az) / (bz - az)
    return ax + t * (bx - ax), ay + t * (by - ay)


@njit
def _draw_clipped(corners, near, fx, fy, cx, cy, primitive, row_lo, row_hi, inverse_depth, primitives):
    """Draw a triangle (3, 3) in camera coordinates of which a part lies in front of the near plane."""
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
        polygon[i, 1] = fy * polygon[i, 1] * w + cy
        polygon[i, 2] = w
    for i in range(1, count - 1):
        p, q, r = polygon[0], polygon[i], polygon[i + 1]
        _draw_projected(
            p[0], p[1], p[2], q[0], q[1], q[2], r[0], r[1], r[2], primitive, row_lo, row_hi, inverse_depth, primitives
        )  # fmt: skip


@njit
def _project_vertices(vertices, T_cam_obj, fx, fy, cx, cy, near, out):
    """Fill out (V, 3) with u, v, 1/z; behind the near plane with NaN-free markers w = -1."""
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        zc = T_cam_obj[2, 0] * x + T_cam_obj[2, 1] * y + T_cam_obj[2, 2] * z + T_cam_obj[2, 3]
        if zc < near:
            out[i, 2] = -1.0
            continue
        xc = T_cam_obj[0, 0] * x + T_cam_obj[0, 1] * y + T_cam_obj[0, 2] * z + T_cam_obj[0, 3]
        yc = T_cam_obj[1, 0] * x + T_cam_obj[1, 1] * y + T_cam_obj[1, 2] * z + T_cam_obj[1, 3]
        w = 1.0 / zc
        out[i, 0], out[i, 1], out[i, 2] = fx * xc * w + cx, fy * yc * w + cy, w


@njit
def _draw_mesh(vertices, faces, T, intrinsics, near, projected, first, row_lo, row_hi, inverse_depth, primitives):
    """Draw a mesh whose vertices were projected; primitive ids start at `first`."""
    fx, fy, cx, cy = intrinsics
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        w0, w1, w2 = projected[i, 2], projected[j, 2], projected[k, 2]
        if w0 > 0.0 and w1 > 0.0 and w2 > 0.0:
            _draw_projected(
                projected[i, 0], projected[i, 1], w0, projected[j, 0], projected[j, 1], w1,
                projected[k, 0], projected[k, 1], w2, first + f, row_lo, row_hi, inverse_depth, primitives,
            )  # fmt: skip
        elif w0 > 0.0 or w1 > 0.0 or w2 > 0.0:
            corners = np.empty((3, 3))
            for c in range(3):
                p = vertices[faces[f, c]]
                for d in range(3):
                    corners[c, d] = T[d, 0] * p[0] + T[d, 1] * p[1] + T[d, 2] * p[2] + T[d, 3]
            _draw_clipped(corners, near, fx, fy, cx, cy, first + f, row_lo, row_hi, inverse_depth, primitives)


@njit(parallel=True, cache=True)
def draw_crops(
    vertices, faces, vertex_start, face_start, mesh_ids, T_cam_obj, intrinsics, near, depth, primitives
):  # fmt: skip
    """One mesh per image: depth (B, h, w) float32 in metres, primitives (B, h, w) face index or -1."""
    for b in prange(mesh_ids.shape[0]):
        m = mesh_ids[b]
        mesh_vertices = vertices[vertex_start[m] : vertex_start[m + 1]]
        mesh_faces = faces[face_start[m] : face_start[m + 1]]
        fx, fy, cx, cy = intrinsics[b, 0], intrinsics[b, 1], intrinsics[b, 2], intrinsics[b, 3]
        projected = np.empty((mesh_vertices.shape[0], 3))
        _project_vertices(mesh_vertices, T_cam_obj[b], fx, fy, cx, cy, near, projected)
        inverse_depth = np.zeros(depth.shape[1:])
        _draw_mesh(
            mesh_vertices, mesh_faces, T_cam_obj[b], (fx, fy, cx, cy), near, projected,
            0, 0, depth.shape[1], inverse_depth, primitives[b],
        )  # fmt: skip
        for v in range(depth.shape[1]):
            for u in range(depth.shape[2]):
                w = inverse_depth[v, u]
                depth[b, v, u] = 1.0 / w if w > 0.0 else 0.0


@njit(parallel=True, cache=True)
def draw_scene(
    vertices, faces, vertex_start, face_start, mesh_ids, T_cam_obj, intrinsics, near, strips, depth, instances, face_ids
):  # fmt: skip
    """All meshes in one image, with the index of the instance and of its face per pixel, -1 = none."""
    count = mesh_ids.shape[0]
    height = depth.shape[0]
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    start = np.zeros(count + 1, dtype=np.int64)
    first = np.zeros(count + 1, dtype=np.int64)
    for n in range(count):
        start[n + 1] = start[n] + vertex_start[mesh_ids[n] + 1] - vertex_start[mesh_ids[n]]
        first[n + 1] = first[n] + face_start[mesh_ids[n] + 1] - face_start[mesh_ids[n]]
    projected = np.empty((start[count], 3))
    owner = np.empty(first[count], dtype=np.int32)
    for n in prange(count):
        m = mesh_ids[n]
        _project_vertices(
            vertices[vertex_start[m] : vertex_start[m + 1]], T_cam_obj[n], fx, fy, cx, cy, near,
            projected[start[n] : start[n + 1]],
        )  # fmt: skip
        owner[first[n] : first[n + 1]] = n
    inverse_depth = np.zeros(depth.shape)
    for s in prange(strips):
        row_lo, row_hi = s * height // strips, (s + 1) * height // strips
        for n in range(count):
            m = mesh_ids[n]
            _draw_mesh(
                vertices[vertex_start[m] : vertex_start[m + 1]], faces[face_start[m] : face_start[m + 1]],
                T_cam_obj[n], (fx, fy, cx, cy), near, projected[start[n] : start[n + 1]],
                first[n], row_lo, row_hi, inverse_depth, face_ids,
            )  # fmt: skip
        for v in range(row_lo, row_hi):
            for u in range(depth.shape[1]):
                w = inverse_depth[v, u]
                if w > 0.0:
                    instance = owner[face_ids[v, u]]
                    depth[v, u] = 1.0 / w
                    instances[v, u] = instance
                    face_ids[v, u] -= first[instance]
