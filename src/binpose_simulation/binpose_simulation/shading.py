"""Light reflected by every pixel: microfacet highlights, mirrored surroundings, prints and wear.

One pass over the image in linear light. Metals mirror a small random environment, turned metals smear it
across their grooves (bent normals, after Filament's anisotropic image-based lighting; GGX after Walter et al. 2007).
"""

import numba
import numpy as np

from binpose_simulation import materials as mat
from binpose_simulation.gbuffer import NOTHING, TABLE

_METALLIC, _ROUGHNESS, _ANISOTROPY, _F0 = mat.METALLIC, mat.ROUGHNESS, mat.ANISOTROPY, mat.F0
_GRAIN, _GRAIN_PER_M, _MOTTLE, _MOTTLE_PER_M, _MIRROR = mat.GRAIN, mat.GRAIN_PER_M, mat.MOTTLE, mat.MOTTLE_PER_M, mat.MIRROR
_ZONE, _LIMIT, _AXIS, _CENTER, _LABEL = mat.ZONE, mat.ZONE_LIMIT_M, mat.AXIS, mat.CENTER, mat.LABEL
_RIB_PITCH, _RIB, _AXIAL, _RADIAL = mat.RIB_PITCH, mat.RIB, mat.AXIAL, mat.RADIAL
_LABEL_U, _LABEL_V, _LABEL_CELL = mat.LABEL_U, mat.LABEL_V, mat.LABEL_CELL
_LABEL_HALF_U, _LABEL_HALF_V = mat.LABEL_HALF_U, mat.LABEL_HALF_V
HIGHLIGHT_LIMIT = 30.0
RIB_HALF_WIDTH_M = 0.0006


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _hash(x, y, z):  # type: ignore[no-untyped-def]
    """A pseudo-random number in [0, 1) of a lattice point."""
    h = (x * 374761393 + y * 668265263 + z * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) * np.float32(1.0 / 65536.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _noise3(x, y, z):  # type: ignore[no-untyped-def]
    """Value noise in [-1, 1]."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    a, b, c = x - i, y - j, z - k
    low = (_hash(i, j, k) * (1 - a) + _hash(i + 1, j, k) * a) * (1 - b)
    low += (_hash(i, j + 1, k) * (1 - a) + _hash(i + 1, j + 1, k) * a) * b
    high = (_hash(i, j, k + 1) * (1 - a) + _hash(i + 1, j, k + 1) * a) * (1 - b)
    high += (_hash(i, j + 1, k + 1) * (1 - a) + _hash(i + 1, j + 1, k + 1) * a) * b
    return 2.0 * (low * (1 - c) + high * c) - 1.0


@numba.njit(cache=True, nogil=True, fastmath=True)
def _texel(size, x, y, z):  # type: ignore[no-untyped-def]
    """Row and column of a direction in an octahedral map."""
    scale = 1.0 / (abs(x) + abs(y) + abs(z) + 1e-12)
    p, q = x * scale, y * scale
    if z < 0.0:
        fold_p = (1.0 - abs(q)) * (1.0 if p >= 0.0 else -1.0)
        q = (1.0 - abs(p)) * (1.0 if q >= 0.0 else -1.0)
        p = fold_p
    column = min(max(int((p + 1.0) * 0.5 * size), 0), size - 1)
    row = min(max(int((q + 1.0) * 0.5 * size), 0), size - 1)
    return row, column


@numba.njit(cache=True, nogil=True, fastmath=True)
def _printed(body, x, y, z, nx, ny, nz):  # type: ignore[no-untyped-def]
    """1 on printed ink, 2 on its white ground, 0 elsewhere; object frame."""
    axis = int(body[_LABEL]) - 1
    facing, p, q = (nx, y, z) if axis == 0 else ((ny, x, z) if axis == 1 else (nz, x, y))
    if abs(facing) < 0.8:
        return 0
    p, q = p - body[_LABEL_U], q - body[_LABEL_V]
    if abs(p) > body[_LABEL_HALF_U] or abs(q) > body[_LABEL_HALF_V]:
        return 0
    cell = body[_LABEL_CELL]
    i, j = int(np.floor(p / cell)), int(np.floor(q / cell))
    return 1 if j % 2 == 0 and _hash(i, j, 7) > 0.4 else 2


@numba.njit(cache=True, nogil=True, fastmath=True)
def reflect_light(  # type: ignore[no-untyped-def]
    depth, surface, normals, coordinates, T_cam_obj, materials, bodies, environment, R_world_cam, lamps, lamp_rgb,
    shadows, occlusion, texture, texture_per_m, intrinsics, color, signal, mirror,
):  # fmt: skip
    """Fill color (H, W, 3) in linear light, signal (H, W) and mirror (H, W), all float32.

    Args:
        T_cam_obj: (M + 3, 4, 4); the last three belong to FLOOR, TABLE, NOTHING (negative indices), in the world.
        materials: (M + 3, 2, COLUMNS). bodies: (M + 3, BODY_COLUMNS).
        environment: (LEVELS, S, S, 3). lamps: (L, 5) x, y, z in the camera frame, reach, size;
            lamp_rgb: (L, 3); shadows: (L, H, W). Lamp 0 is the depth sensor's projector.
        occlusion: (H, W) share of the surroundings' light that arrives.
        texture: (h, w, 3) multiplies the table's colour, repeated, texture_per_m pixels per metre.
        signal: the projector's light, as the sensor's own camera receives it.
        mirror: weight of the mirrored scene that `mirror_scene` adds.
    """
    height, width = depth.shape
    size = environment.shape[1]
    for v in range(height):
        ry = (v - intrinsics[3]) / intrinsics[1]
        for u in range(width):
            i = surface[v, u]
            if i == NOTHING:
                continue
            rx = (u - intrinsics[2]) / intrinsics[0]
            z = depth[v, u]
            inverse_length = 1.0 / np.sqrt(rx * rx + ry * ry + 1.0)
            vx, vy, vz = -rx * inverse_length, -ry * inverse_length, -inverse_length
            nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
            ox, oy, oz = coordinates[v, u, 0], coordinates[v, u, 1], coordinates[v, u, 2]
            T, body = T_cam_obj[i], bodies[i]
            # place relative to the axis: along it (h) and away from it (radius)
            ax, ay, az = body[_AXIS], body[_AXIS + 1], body[_AXIS + 2]
            qx, qy, qz = ox - body[_CENTER], oy - body[_CENTER + 1], oz - body[_CENTER + 2]
            h = qx * ax + qy * ay + qz * az
            wx, wy, wz = qx - h * ax, qy - h * ay, qz - h * az
            radius = np.sqrt(wx * wx + wy * wy + wz * wz)
            slot = 0
            if (body[_ZONE] == _AXIAL and h > body[_LIMIT]) or (body[_ZONE] == _RADIAL and radius < body[_LIMIT]):
                slot = 1
            m = materials[i, slot]
            red, green, blue = m[0], m[1], m[2]
            rough, metallic, f0 = m[_ROUGHNESS], m[_METALLIC], m[_F0]
            factor = np.float32(1.0)
            if m[_MOTTLE] > 0.0:
                s = m[_MOTTLE_PER_M]
                factor += m[_MOTTLE] * _noise3(ox * s, oy * s, oz * s)
            if i <= TABLE:
                row = int(oy * texture_per_m) % texture.shape[0]
                column = int(ox * texture_per_m) % texture.shape[1]
                red, green, blue = (
                    red * texture[row, column, 0], green * texture[row, column, 1], blue * texture[row, column, 2],
                )  # fmt: skip
            if body[_LABEL] > 0.0:
                bx = T[0, 0] * nx + T[1, 0] * ny + T[2, 0] * nz
                by = T[0, 1] * nx + T[1, 1] * ny + T[2, 1] * nz
                bz = T[0, 2] * nx + T[1, 2] * ny + T[2, 2] * nz
                ink = _printed(body, ox, oy, oz, bx, by, bz)
                if ink > 0:
                    red = green = blue = np.float32(0.03 if ink == 1 else 0.8)
                    metallic, rough, f0 = np.float32(0.0), np.float32(0.5), np.float32(0.04)
            if body[_RIB] > 0.0:
                gx = ox - np.round(ox / body[_RIB_PITCH]) * body[_RIB_PITCH]
                gy = oy - np.round(oy / body[_RIB_PITCH]) * body[_RIB_PITCH]
                if abs(gx) < RIB_HALF_WIDTH_M:
                    tilt = body[_RIB] * gx / RIB_HALF_WIDTH_M
                    nx, ny, nz = nx + T[0, 0] * tilt, ny + T[1, 0] * tilt, nz + T[2, 0] * tilt
                if abs(gy) < RIB_HALF_WIDTH_M:
                    tilt = body[_RIB] * gy / RIB_HALF_WIDTH_M
                    nx, ny, nz = nx + T[0, 1] * tilt, ny + T[1, 1] * tilt, nz + T[2, 1] * tilt
                s = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
                nx, ny, nz = nx * s, ny * s, nz * s
            # grooves run around the axis; tx is their direction in the camera frame
            anisotropy = m[_ANISOTROPY]
            tx, ty, tz = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            if m[_GRAIN] > 0.0:
                bx = T[0, 0] * nx + T[1, 0] * ny + T[2, 0] * nz
                by = T[0, 1] * nx + T[1, 1] * ny + T[2, 1] * nz
                bz = T[0, 2] * nx + T[1, 2] * ny + T[2, 2] * nz
                along = (h if abs(bx * ax + by * ay + bz * az) < 0.7 else radius) * m[_GRAIN_PER_M]
                cell = int(np.floor(along))
                a = along - cell
                grain = _hash(cell, 3, i) * (1 - a) + _hash(cell + 1, 3, i) * a - 0.5
                factor *= 1.0 + m[_GRAIN] * grain
                rough = rough * (1.0 + 0.6 * m[_GRAIN] * grain)
                if anisotropy > 0.0:
                    kx, ky, kz = ay * wz - az * wy, az * wx - ax * wz, ax * wy - ay * wx
                    tx = T[0, 0] * kx + T[0, 1] * ky + T[0, 2] * kz
                    ty = T[1, 0] * kx + T[1, 1] * ky + T[1, 2] * kz
                    tz = T[2, 0] * kx + T[2, 1] * ky + T[2, 2] * kz
                    dot = tx * nx + ty * ny + tz * nz
                    tx, ty, tz = tx - dot * nx, ty - dot * ny, tz - dot * nz
                    length = np.sqrt(tx * tx + ty * ty + tz * tz)
                    if length > 1e-5:
                        tx, ty, tz = tx / length, ty / length, tz / length
                    else:
                        anisotropy = np.float32(0.0)
            red, green, blue = red * factor, green * factor, blue * factor
            ndv = max(nx * vx + ny * vy + nz * vz, 0.02)
            grazing = 1.0 - ndv
            fresnel = grazing * grazing * grazing * grazing * grazing * (1.0 - 0.7 * rough)
            base = f0 * (1.0 - metallic)
            fr = base + metallic * red
            fg = base + metallic * green
            fb = base + metallic * blue
            fr, fg, fb = fr + (1.0 - fr) * fresnel, fg + (1.0 - fg) * fresnel, fb + (1.0 - fb) * fresnel
            dr, dg, db = red * (1.0 - metallic), green * (1.0 - metallic), blue * (1.0 - metallic)
            # surroundings: diffuse from all around the normal, mirrored about the (bent) normal
            ex = R_world_cam[0, 0] * nx + R_world_cam[0, 1] * ny + R_world_cam[0, 2] * nz
            ey = R_world_cam[1, 0] * nx + R_world_cam[1, 1] * ny + R_world_cam[1, 2] * nz
            ez = R_world_cam[2, 0] * nx + R_world_cam[2, 1] * ny + R_world_cam[2, 2] * nz
            row, column = _texel(size, ex, ey, ez)
            around = environment[environment.shape[0] - 1, row, column]
            light = occlusion[v, u]
            cr, cg, cb = dr * around[0] * light, dg * around[1] * light, db * around[2] * light
            mx, my, mz = nx, ny, nz
            if anisotropy > 0.0:
                dot = vx * tx + vy * ty + vz * tz
                mx, my, mz = vx - dot * tx, vy - dot * ty, vz - dot * tz
                length = max(np.sqrt(mx * mx + my * my + mz * mz), 1e-6)
                bend = 0.6 * anisotropy
                mx = nx * (1 - bend) + mx / length * bend
                my = ny * (1 - bend) + my / length * bend
                mz = nz * (1 - bend) + mz / length * bend
                s = 1.0 / np.sqrt(mx * mx + my * my + mz * mz)
                mx, my, mz = mx * s, my * s, mz * s
            dot = 2.0 * (mx * vx + my * vy + mz * vz)
            sx, sy, sz = dot * mx - vx, dot * my - vy, dot * mz - vz
            ex = R_world_cam[0, 0] * sx + R_world_cam[0, 1] * sy + R_world_cam[0, 2] * sz
            ey = R_world_cam[1, 0] * sx + R_world_cam[1, 1] * sy + R_world_cam[1, 2] * sz
            ez = R_world_cam[2, 0] * sx + R_world_cam[2, 1] * sy + R_world_cam[2, 2] * sz
            row, column = _texel(size, ex, ey, ez)
            level = min(max(int(rough * 8.0 - 0.7), 0), environment.shape[0] - 1)
            mirrored = environment[level, row, column]
            light = light * light
            cr += fr * mirrored[0] * light
            cg += fg * mirrored[1] * light
            cb += fb * mirrored[2] * light
            # lamps
            px, py, pz = rx * z, ry * z, z
            for k in range(len(lamps)):
                share = shadows[k, v, u]
                if share <= 0.0:
                    continue
                lx, ly, lz = lamps[k, 0] - px, lamps[k, 1] - py, lamps[k, 2] - pz
                squared = lx * lx + ly * ly + lz * lz
                s = 1.0 / np.sqrt(squared)
                lx, ly, lz = lx * s, ly * s, lz * s
                ndl = nx * lx + ny * ly + nz * lz
                if ndl <= 0.0:
                    continue
                power = share * lamps[k, 3] * lamps[k, 3] / squared
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                s = 1.0 / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
                hx, hy, hz = hx * s, hy * s, hz * s
                ndh = nx * hx + ny * hy + nz * hz
                alpha = max(rough * rough, 0.004) + lamps[k, 4] * 0.5
                if anisotropy > 0.0:
                    thin = alpha * (1.0 - 0.8 * anisotropy)
                    wide = alpha * (1.0 + 1.5 * anisotropy)
                    hdt = hx * tx + hy * ty + hz * tz
                    hdb = max(1.0 - ndh * ndh - hdt * hdt, 0.0)
                    q = hdt * hdt / (thin * thin) + hdb / (wide * wide) + ndh * ndh
                    lobe = 1.0 / (np.pi * thin * wide * q * q)
                else:
                    q = ndh * ndh * (alpha * alpha - 1.0) + 1.0
                    lobe = alpha * alpha / (np.pi * q * q)
                # Irradiance is given in units where a white diffuse surface shows 1, hence no 1 / pi
                glint = min(lobe * np.pi / (4.0 * max(ndl, ndv)), HIGHLIGHT_LIMIT) * ndl * power
                even = ndl * power
                r = dr * even + fr * glint
                g = dg * even + fg * glint
                b = db * even + fb * glint
                if k == 0:
                    signal[v, u] = 0.3 * r + 0.4 * g + 0.3 * b
                cr += r * lamp_rgb[k, 0]
                cg += g * lamp_rgb[k, 1]
                cb += b * lamp_rgb[k, 2]
            color[v, u, 0], color[v, u, 1], color[v, u, 2] = cr, cg, cb
            mirror[v, u] = m[_MIRROR] * (base + (1.0 - base) * fresnel)


@numba.njit(cache=True, nogil=True, fastmath=True)
def mirror_scene(depth, normals, mirror, color, intrinsics, reach_m, steps, result):  # type: ignore[no-untyped-def]
    """What glossy walls mirror of the visible scene, by marching reflected rays through the depth image.

    Fills result (H // 2, W // 2, 3), from every second pixel; zero where the ray meets nothing that is visible.
    """
    height, width = depth.shape
    for v in range(0, 2 * (height // 2), 2):
        for u in range(0, 2 * (width // 2), 2):
            if mirror[v, u] < 0.01:
                continue
            z = depth[v, u]
            x, y = (u - intrinsics[2]) / intrinsics[0] * z, (v - intrinsics[3]) / intrinsics[1] * z
            nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
            s = 1.0 / np.sqrt(x * x + y * y + z * z)
            dot = 2.0 * (nx * x + ny * y + nz * z) * s
            dx, dy, dz = x * s - dot * nx, y * s - dot * ny, z * s - dot * nz
            length = reach_m / steps
            travelled = length
            for _ in range(steps):
                pz = z + travelled * dz
                if pz <= 0.02:
                    break
                pu = intrinsics[0] * (x + travelled * dx) / pz + intrinsics[2] + 0.5
                pv = intrinsics[1] * (y + travelled * dy) / pz + intrinsics[3] + 0.5
                if pu < 0.0 or pv < 0.0 or pu >= width or pv >= height:
                    break
                behind = pz - depth[int(pv), int(pu)]
                if behind > 0.0 and behind < 2.5 * length + 0.002:
                    for c in range(3):
                        result[v // 2, u // 2, c] = mirror[v, u] * color[int(pv), int(pu), c]
                    break
                travelled += length
