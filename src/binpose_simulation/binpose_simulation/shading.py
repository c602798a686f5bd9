"""Shading of every pixel: microfacet highlights, environment reflections, prints and wear.

One pass over the image in linear light. Metals reflect a small random environment; turned metals blur it across their
grooves (bent normals, after Filament's anisotropic image-based lighting; GGX after Walter et al. 2007).
"""

import numpy as np
from numba import njit

from binpose_simulation import materials as mat
from binpose_simulation.gbuffer import NOTHING, REPEATABLE, TABLE, UNCOUNTED

_METALLIC, _ROUGHNESS, _ANISOTROPY, _F0 = mat.METALLIC, mat.ROUGHNESS, mat.ANISOTROPY, mat.F0
_GRAIN, _GRAIN_PER_M, _MIRROR = mat.GRAIN, mat.GRAIN_PER_M, mat.MIRROR
_MOTTLE, _MOTTLE_PER_M = mat.MOTTLE, mat.MOTTLE_PER_M
_ZONE, _LIMIT, _AXIS, _CENTER, _LABEL = mat.ZONE, mat.ZONE_LIMIT_M, mat.AXIS, mat.CENTER, mat.LABEL
_RIB_PITCH, _RIB, _AXIAL, _RADIAL = mat.RIB_PITCH, mat.RIB, mat.AXIAL, mat.RADIAL
_LABEL_U, _LABEL_V, _LABEL_CELL = mat.LABEL_U, mat.LABEL_V, mat.LABEL_CELL
_LABEL_HALF_U, _LABEL_HALF_V = mat.LABEL_HALF_U, mat.LABEL_HALF_V
HIGHLIGHT_LIMIT = 30.0
RIB_HALF_WIDTH_M = 0.0006

# With inlined helpers the pass is twice as fast.
_inlined = njit(cache=True, nogil=True, fastmath=REPEATABLE, error_model="numpy", inline="always")


@_inlined
def _hash(x, y, z):  # type: ignore[no-untyped-def]
    """A pseudo-random number in [0, 1) of a lattice point."""
    h = (x * 374761393 + y * 668265263 + z * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) * np.float32(1.0 / 65536.0)


@_inlined
def _noise3(x, y, z):  # type: ignore[no-untyped-def]
    """Value noise in [-1, 1]."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    a, b, c = x - i, y - j, z - k
    low = (_hash(i, j, k) * (1 - a) + _hash(i + 1, j, k) * a) * (1 - b)
    low += (_hash(i, j + 1, k) * (1 - a) + _hash(i + 1, j + 1, k) * a) * b
    high = (_hash(i, j, k + 1) * (1 - a) + _hash(i + 1, j, k + 1) * a) * (1 - b)
    high += (_hash(i, j + 1, k + 1) * (1 - a) + _hash(i + 1, j + 1, k + 1) * a) * b
    return 2.0 * (low * (1 - c) + high * c) - 1.0


@_inlined
def _mixed(maps, k, i, j, b):  # type: ignore[no-untyped-def]
    """Colour between the columns j and j + 1 of a map."""
    return (
        maps[k, i, j, 0] + b * (maps[k, i, j + 1, 0] - maps[k, i, j, 0]),
        maps[k, i, j, 1] + b * (maps[k, i, j + 1, 1] - maps[k, i, j, 1]),
        maps[k, i, j, 2] + b * (maps[k, i, j + 1, 2] - maps[k, i, j, 2]),
    )


@_inlined
def _look_up(maps, k, x, y, z):  # type: ignore[no-untyped-def]
    """Light from a direction in the octahedral map k of (K, S, S, 3), bilinear."""
    size = maps.shape[1]
    scale = 1.0 / (abs(x) + abs(y) + abs(z) + 1e-12)
    p, q = x * scale, y * scale
    if z < 0.0:
        p, q = (1.0 - abs(q)) * (1.0 if p >= 0.0 else -1.0), (1.0 - abs(p)) * (1.0 if q >= 0.0 else -1.0)
    column = min(max((p + 1.0) * 0.5 * size - 0.5, 0.0), size - 1.001)
    row = min(max((q + 1.0) * 0.5 * size - 0.5, 0.0), size - 1.001)
    i, j = int(row), int(column)
    a, b = np.float32(row - i), np.float32(column - j)
    upper, lower = _mixed(maps, k, i, j, b), _mixed(maps, k, i + 1, j, b)
    return (
        upper[0] + a * (lower[0] - upper[0]),
        upper[1] + a * (lower[1] - upper[1]),
        upper[2] + a * (lower[2] - upper[2]),
    )


@_inlined
def _rotated(R, i, x, y, z):  # type: ignore[no-untyped-def]
    """R[i] @ (x, y, z)."""
    return (
        R[i, 0, 0] * x + R[i, 0, 1] * y + R[i, 0, 2] * z,
        R[i, 1, 0] * x + R[i, 1, 1] * y + R[i, 1, 2] * z,
        R[i, 2, 0] * x + R[i, 2, 1] * y + R[i, 2, 2] * z,
    )


@_inlined
def _rotated_back(R, i, x, y, z):  # type: ignore[no-untyped-def]
    """R[i].T @ (x, y, z)."""
    return (
        R[i, 0, 0] * x + R[i, 1, 0] * y + R[i, 2, 0] * z,
        R[i, 0, 1] * x + R[i, 1, 1] * y + R[i, 2, 1] * z,
        R[i, 0, 2] * x + R[i, 1, 2] * y + R[i, 2, 2] * z,
    )


@_inlined
def _unit(x, y, z):  # type: ignore[no-untyped-def]
    scale = 1.0 / np.sqrt(x * x + y * y + z * z + 1e-18)
    return x * scale, y * scale, z * scale


@_inlined
def _printed(bodies, i, x, y, z, nx, ny, nz):  # type: ignore[no-untyped-def]
    """1 on printed ink, 2 on its white ground, 0 elsewhere; object frame."""
    axis = int(bodies[i, _LABEL]) - 1
    facing, p, q = (nx, y, z) if axis == 0 else ((ny, x, z) if axis == 1 else (nz, x, y))
    p, q = p - bodies[i, _LABEL_U], q - bodies[i, _LABEL_V]
    if abs(facing) < 0.8 or abs(p) > bodies[i, _LABEL_HALF_U] or abs(q) > bodies[i, _LABEL_HALF_V]:
        return 0
    cell = bodies[i, _LABEL_CELL]
    column, row = int(np.floor(p / cell)), int(np.floor(q / cell))
    return 1 if row % 2 == 0 and _hash(column, row, 7) > 0.4 else 2


@_inlined
def _ribbed(bodies, T, i, ox, oy, nx, ny, nz):  # type: ignore[no-untyped-def]
    """The normal on a floor with a square pattern of fine ribs."""
    gx = ox - np.round(ox / bodies[i, _RIB_PITCH]) * bodies[i, _RIB_PITCH]
    gy = oy - np.round(oy / bodies[i, _RIB_PITCH]) * bodies[i, _RIB_PITCH]
    tilt_x = bodies[i, _RIB] * gx / RIB_HALF_WIDTH_M if abs(gx) < RIB_HALF_WIDTH_M else 0.0
    tilt_y = bodies[i, _RIB] * gy / RIB_HALF_WIDTH_M if abs(gy) < RIB_HALF_WIDTH_M else 0.0
    return _unit(
        nx + T[i, 0, 0] * tilt_x + T[i, 0, 1] * tilt_y,
        ny + T[i, 1, 0] * tilt_x + T[i, 1, 1] * tilt_y,
        nz + T[i, 2, 0] * tilt_x + T[i, 2, 1] * tilt_y,
    )


@_inlined
def _from_axis(bodies, i, ox, oy, oz):  # type: ignore[no-untyped-def]
    """Position along the body's axis, distance from it, and the vector of that distance; object frame."""
    qx, qy, qz = ox - bodies[i, _CENTER], oy - bodies[i, _CENTER + 1], oz - bodies[i, _CENTER + 2]
    h = qx * bodies[i, _AXIS] + qy * bodies[i, _AXIS + 1] + qz * bodies[i, _AXIS + 2]
    wx, wy, wz = qx - h * bodies[i, _AXIS], qy - h * bodies[i, _AXIS + 1], qz - h * bodies[i, _AXIS + 2]
    return h, np.sqrt(wx * wx + wy * wy + wz * wz), wx, wy, wz


@_inlined
def _groove_direction(bodies, T, i, wx, wy, wz, nx, ny, nz):  # type: ignore[no-untyped-def]
    """Unit direction of turning grooves in the camera frame; zero on the axis."""
    ax, ay, az = bodies[i, _AXIS], bodies[i, _AXIS + 1], bodies[i, _AXIS + 2]
    tx, ty, tz = _rotated(T, i, ay * wz - az * wy, az * wx - ax * wz, ax * wy - ay * wx)
    dot = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - dot * nx, ty - dot * ny, tz - dot * nz
    if tx * tx + ty * ty + tz * tz < 1e-10:
        return 0.0, 0.0, 0.0
    return _unit(tx, ty, tz)


@_inlined
def _bent(nx, ny, nz, tx, ty, tz, vx, vy, vz, bend):  # type: ignore[no-untyped-def]
    """The normal bent towards the viewer across the grooves."""
    dot = vx * tx + vy * ty + vz * tz
    mx, my, mz = _unit(vx - dot * tx, vy - dot * ty, vz - dot * tz)
    return _unit(nx + (mx - nx) * bend, ny + (my - ny) * bend, nz + (mz - nz) * bend)


@_inlined
def _lobe(ndh, alpha, anisotropy, hdt):  # type: ignore[no-untyped-def]
    """GGX distribution; wide across the grooves, narrow along them. hdt: half vector along the grooves."""
    if anisotropy <= 0.0:
        q = ndh * ndh * (alpha * alpha - 1.0) + 1.0
        return alpha * alpha / (np.pi * q * q)
    thin, wide = alpha * (1.0 - 0.8 * anisotropy), alpha * (1.0 + 1.5 * anisotropy)
    hdb = max(1.0 - ndh * ndh - hdt * hdt, 0.0)
    q = hdt * hdt / (thin * thin) + hdb / (wide * wide) + ndh * ndh
    return 1.0 / (np.pi * thin * wide * q * q)


@_inlined
def _lamp_light(  # type: ignore[no-untyped-def]
    lamps, k, px, py, pz, nx, ny, nz, tx, ty, tz, vx, vy, vz, rough, anisotropy, ndv
):
    """Diffuse and specular light of a lamp, for a white surface and a white mirror, without its shadow.

    Irradiance is in units in which a white diffuse surface has the value 1, hence no 1 / pi.
    """
    lx, ly, lz = lamps[k, 0] - px, lamps[k, 1] - py, lamps[k, 2] - pz
    squared = lx * lx + ly * ly + lz * lz
    lx, ly, lz = _unit(lx, ly, lz)
    ndl = nx * lx + ny * ly + nz * lz
    if ndl <= 0.0:
        return 0.0, 0.0
    even = ndl * lamps[k, 3] * lamps[k, 3] / squared
    hx, hy, hz = _unit(lx + vx, ly + vy, lz + vz)
    alpha = max(rough * rough, 0.004) + lamps[k, 4] * 0.5
    lobe = _lobe(nx * hx + ny * hy + nz * hz, alpha, anisotropy, hx * tx + hy * ty + hz * tz)
    return even, min(lobe * np.pi / (4.0 * max(ndl, ndv)), HIGHLIGHT_LIMIT) * even


@_inlined
def _pixel(  # type: ignore[no-untyped-def]
    i, v, u, px, py, pz, normals, coordinates, T, materials, bodies, environment, R_world_cam, lamps, lamp_rgb, shadows,
    open_sky, texture, texture_per_m,
):  # fmt: skip
    """Colour (3), projector signal and mirror weight of one pixel."""
    vx, vy, vz = _unit(-px, -py, -pz)
    nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
    ox, oy, oz = coordinates[v, u, 0], coordinates[v, u, 1], coordinates[v, u, 2]
    h, radius, wx, wy, wz = _from_axis(bodies, i, ox, oy, oz)
    zone, limit = bodies[i, _ZONE], bodies[i, _LIMIT]
    slot = 1 if (zone == _AXIAL and h > limit) or (zone == _RADIAL and radius < limit) else 0
    red, green, blue = materials[i, slot, 0], materials[i, slot, 1], materials[i, slot, 2]
    rough, metallic = materials[i, slot, _ROUGHNESS], materials[i, slot, _METALLIC]
    f0, anisotropy = materials[i, slot, _F0], materials[i, slot, _ANISOTROPY]
    factor = np.float32(1.0)
    if materials[i, slot, _MOTTLE] > 0.0:
        fineness = materials[i, slot, _MOTTLE_PER_M]
        factor += materials[i, slot, _MOTTLE] * _noise3(ox * fineness, oy * fineness, oz * fineness)
    if i <= TABLE:
        row, column = int(oy * texture_per_m) % texture.shape[0], int(ox * texture_per_m) % texture.shape[1]
        red, green, blue = (
            red * texture[row, column, 0], green * texture[row, column, 1], blue * texture[row, column, 2],
        )  # fmt: skip
    if bodies[i, _LABEL] > 0.0:
        bx, by, bz = _rotated_back(T, i, nx, ny, nz)
        ink = _printed(bodies, i, ox, oy, oz, bx, by, bz)
        if ink > 0:
            red = green = blue = np.float32(0.03 if ink == 1 else 0.8)
            metallic, rough, f0 = np.float32(0.0), np.float32(0.5), np.float32(0.04)
    if bodies[i, _RIB] > 0.0:
        nx, ny, nz = _ribbed(bodies, T, i, ox, oy, nx, ny, nz)
    tx, ty, tz = 0.0, 0.0, 0.0
    if materials[i, slot, _GRAIN] > 0.0:
        bx, by, bz = _rotated_back(T, i, nx, ny, nz)
        end_face = abs(bx * bodies[i, _AXIS] + by * bodies[i, _AXIS + 1] + bz * bodies[i, _AXIS + 2]) > 0.7
        along = (radius if end_face else h) * materials[i, slot, _GRAIN_PER_M]
        cell = int(np.floor(along))
        a = along - cell
        grain = materials[i, slot, _GRAIN] * (_hash(cell, 3, i) * (1 - a) + _hash(cell + 1, 3, i) * a - 0.5)
        factor *= 1.0 + grain
        rough *= 1.0 + 0.6 * grain
        if anisotropy > 0.0:
            tx, ty, tz = _groove_direction(bodies, T, i, wx, wy, wz, nx, ny, nz)
            if tx == 0.0 and ty == 0.0 and tz == 0.0:
                anisotropy = np.float32(0.0)
    red, green, blue = red * factor, green * factor, blue * factor
    ndv = max(nx * vx + ny * vy + nz * vz, 0.02)
    grazing = 1.0 - ndv
    fresnel = grazing * grazing * grazing * grazing * grazing * (1.0 - 0.7 * rough)
    base = f0 * (1.0 - metallic)
    fr, fg, fb = base + metallic * red, base + metallic * green, base + metallic * blue
    fr, fg, fb = fr + (1.0 - fr) * fresnel, fg + (1.0 - fg) * fresnel, fb + (1.0 - fb) * fresnel
    dr, dg, db = red * (1.0 - metallic), green * (1.0 - metallic), blue * (1.0 - metallic)
    # environment: diffuse from the hemisphere around the normal, and reflected about the normal or the bent one
    wx, wy, wz = _rotated(R_world_cam, 0, nx, ny, nz)
    er, eg, eb = _look_up(environment, len(environment) - 1, wx, wy, wz)
    mx, my, mz = nx, ny, nz
    if anisotropy > 0.0:
        mx, my, mz = _bent(nx, ny, nz, tx, ty, tz, vx, vy, vz, 0.6 * anisotropy)
    dot = 2.0 * (mx * vx + my * vy + mz * vz)
    wx, wy, wz = _rotated(R_world_cam, 0, dot * mx - vx, dot * my - vy, dot * mz - vz)
    level = min(max(int(rough * 8.0 - 0.7), 0), len(environment) - 1)
    sr, sg, sb = _look_up(environment, level, wx, wy, wz)
    mirrored = open_sky * open_sky
    cr = dr * er * open_sky + fr * sr * mirrored
    cg = dg * eg * open_sky + fg * sg * mirrored
    cb = db * eb * open_sky + fb * sb * mirrored
    signal = 0.0
    for k in range(len(lamps)):
        lit = shadows[k, v, u]
        if lit <= 0.0:
            continue
        even, glint = _lamp_light(lamps, k, px, py, pz, nx, ny, nz, tx, ty, tz, vx, vy, vz, rough, anisotropy, ndv)
        even, glint = even * lit, glint * lit
        r, g, b = dr * even + fr * glint, dg * even + fg * glint, db * even + fb * glint
        if k == 0:
            signal = 0.3 * r + 0.4 * g + 0.3 * b
        cr, cg, cb = cr + r * lamp_rgb[k, 0], cg + g * lamp_rgb[k, 1], cb + b * lamp_rgb[k, 2]
    return cr, cg, cb, signal, materials[i, slot, _MIRROR] * (base + (1.0 - base) * fresnel)


@njit(**UNCOUNTED)
def reflect_light(  # type: ignore[no-untyped-def]
    depth, surface, normals, coordinates, T_cam_obj, materials, bodies, environment, R_world_cam, lamps, lamp_rgb,
    shadows, occlusion, texture, texture_per_m, intrinsics, color, signal, mirror,
):  # fmt: skip
    """Fill color (H, W, 3) in linear light, signal (H, W) and mirror (H, W), all float32.

    R_world_cam: (1, 3, 3). T_cam_obj (M + 3, 4, 4), materials (M + 3, 2, COLUMNS), bodies (M + 3, BODY_COLUMNS): the
    last three rows belong to FLOOR, TABLE, NOTHING (negative indices) and hold T_cam_world. environment:
    (LEVELS, S, S, 3). lamps: (L, 5) x, y, z in the camera frame, reach, size; lamp_rgb: (L, 3); shadows: (L, H, W),
    the fraction of each lamp's light that reaches the surface. Lamp 0 is the depth sensor's projector; signal is its
    light as received by the sensor. occlusion: (H, W) fraction of the ambient light that reaches the surface.
    texture: (h, w, 3) multiplies the table's colour, repeated, with texture_per_m pixels per metre. mirror: weight of
    the scene's reflection in the pixel.
    """
    height, width = depth.shape
    for v in range(height):
        for u in range(width):
            i = surface[v, u]
            if i == NOTHING:
                continue
            z = depth[v, u]
            px, py = (u - intrinsics[2]) / intrinsics[0] * z, (v - intrinsics[3]) / intrinsics[1] * z
            red, green, blue, back, weight = _pixel(
                i, v, u, px, py, z, normals, coordinates, T_cam_obj, materials, bodies, environment, R_world_cam, lamps,
                lamp_rgb, shadows, occlusion[v, u], texture, texture_per_m,
            )  # fmt: skip
            color[v, u, 0], color[v, u, 1], color[v, u, 2] = red, green, blue
            signal[v, u], mirror[v, u] = back, weight
