"""Rigid motions of space and rotation parametrisations, in numpy.

A pose is a (4, 4) matrix named by its direction: ``T_cam_obj @ points_obj -> points_cam``.
Every function takes leading batch dimensions.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


def transform(T_a_b: FloatArray, points_b: FloatArray) -> FloatArray:
    """Transform points (..., N, 3) from frame b to frame a by T_a_b (..., 4, 4)."""
    return points_b @ np.swapaxes(T_a_b[..., :3, :3], -1, -2) + T_a_b[..., None, :3, 3]


def inverse(T_a_b: FloatArray) -> FloatArray:
    """T_b_a (..., 4, 4) of a rigid motion T_a_b (..., 4, 4)."""
    rotation = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    T_b_a = np.zeros_like(T_a_b)
    T_b_a[..., :3, :3] = rotation
    T_b_a[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, T_a_b[..., :3, 3])
    T_b_a[..., 3, 3] = 1.0
    return T_b_a


def from_rotation_translation(rotation: FloatArray, translation: FloatArray) -> FloatArray:
    """Stack R (..., 3, 3) and t (..., 3) into poses (..., 4, 4)."""
    rotation, translation = np.asarray(rotation), np.asarray(translation)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    pose = np.zeros((*shape, 4, 4), dtype=np.result_type(rotation, translation, np.float32))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1.0
    return pose


def skew(vector: FloatArray) -> FloatArray:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3): ``skew(a) @ b == cross(a, b)``."""
    x, y, z = np.moveaxis(np.asarray(vector), -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def exp_so3(rotation_vector: FloatArray) -> FloatArray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues)."""
    vector = np.asarray(rotation_vector, dtype=np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    K = skew(vector)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1.0 - np.cos(safe)) / safe**2)
    return np.eye(3) + first * K + second * (K @ K)


def log_so3(rotation: FloatArray) -> FloatArray:
    """Rotation vectors (..., 3) in radians of matrices (..., 3, 3); inverse of `exp_so3`."""
    quat = quat_xyzw_from_rotation(rotation)
    quat = quat * np.where(quat[..., 3:] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(quat[..., :3], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, quat[..., 3:])
    scale = np.where(sine < 1e-12, 2.0, angle / np.where(sine < 1e-12, 1.0, sine))
    return quat[..., :3] * scale


def exp_se3(twist: FloatArray) -> FloatArray:
    """Poses (..., 4, 4) of twists (..., 6) = (translation in m, rotation vector in rad).

    The translation is applied after the rotation (the pair SO(3) x R3), not along the screw.
    """
    twist = np.asarray(twist, dtype=np.float64)
    return from_rotation_translation(exp_so3(twist[..., 3:]), twist[..., :3])


def rotation_angle_rad(rotation_a: FloatArray, rotation_b: FloatArray) -> FloatArray:
    """Geodesic angle (...) in radians between rotations (..., 3, 3)."""
    difference = np.swapaxes(np.asarray(rotation_a), -1, -2) @ rotation_b
    return np.linalg.norm(log_so3(difference), axis=-1)


def rotation_from_quat_xyzw(quat_xyzw: FloatArray) -> FloatArray:
    """Rotations (..., 3, 3) of quaternions (..., 4) in x, y, z, w order, of any non-zero length."""
    quat = np.asarray(quat_xyzw, dtype=np.float64)
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    x, y, z, w = np.moveaxis(quat, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quat_xyzw_from_rotation(rotation: FloatArray) -> FloatArray:
    """Unit quaternions (..., 4) in x, y, z, w order of rotations (..., 3, 3).

    All four Shepperd branches are computed and the best-conditioned one is selected.
    """
    R = np.asarray(rotation, dtype=np.float64)
    m = lambda i, j: R[..., i, j]  # noqa: E731
    trace = m(0, 0) + m(1, 1) + m(2, 2)
    a, b, c = m(2, 1) - m(1, 2), m(0, 2) - m(2, 0), m(1, 0) - m(0, 1)
    d, e, f = m(0, 1) + m(1, 0), m(0, 2) + m(2, 0), m(1, 2) + m(2, 1)
    branches = np.stack(
        [
            np.stack([1 + 2 * m(0, 0) - trace, d, e, a], -1),
            np.stack([d, 1 + 2 * m(1, 1) - trace, f, b], -1),
            np.stack([e, f, 1 + 2 * m(2, 2) - trace, c], -1),
            np.stack([a, b, c, 1 + trace], -1),
        ],
        -2,
    )
    best = np.stack([m(0, 0), m(1, 1), m(2, 2), trace], -1).argmax(-1)
    quat = np.take_along_axis(branches, best[..., None, None], -2)[..., 0, :]
    return quat / np.linalg.norm(quat, axis=-1, keepdims=True)


def random_rotation(rng: np.random.Generator, shape: tuple[int, ...] = ()) -> FloatArray:
    """Rotations (*shape, 3, 3), uniform over SO(3)."""
    return rotation_from_quat_xyzw(rng.normal(size=(*shape, 4)))


def rotation_between(vector_a: FloatArray, vector_b: FloatArray) -> FloatArray:
    """The smallest rotation (3, 3) that maps the direction of vector_a (3,) to that of vector_b."""
    a = np.asarray(vector_a, dtype=np.float64) / np.linalg.norm(vector_a)
    b = np.asarray(vector_b, dtype=np.float64) / np.linalg.norm(vector_b)
    axis, cosine = np.cross(a, b), float(a @ b)
    if np.linalg.norm(axis) < 1e-9:
        if cosine > 0:
            return np.eye(3)
        axis = np.cross(a, np.eye(3)[np.abs(a).argmin()])
        return exp_so3(np.pi * axis / np.linalg.norm(axis))
    return exp_so3(axis / np.linalg.norm(axis) * np.arctan2(np.linalg.norm(axis), cosine))
