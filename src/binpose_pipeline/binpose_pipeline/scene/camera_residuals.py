"""Errors of camera poses, estimated from parts that two or more views see.

Each part seen by two views gives the difference of its two poses in the world, modulo symmetry. A vote finds the
matches of two views; robust least squares (IRLS with Cauchy weights) then finds one small motion per camera. Only
relative motions can be observed, so that a prior, robust as well, keeps most cameras where they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, skew
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.scene.alike_poses import AlikePoses

NO_MOTION = np.eye(4)


@dataclass(frozen=True)
class CameraResidualConfig:
    """How errors of camera poses are estimated.

    least_score: of a single view's poses that take part.
    reach_m: largest error of a camera pose that is looked for, at the parts.
    reach_rad: largest difference of two rotations of one part.
    match_m: differences of matches around the common one are smaller than this.
    fewest: parts with a common difference of more than `match_m` from which it is an error; fewer are chance.
    sigma_m, sigma_rad: standard deviations of a part's pose in one view.
    prior_m, prior_rad: expected sizes of camera errors.
    rounds: of the robust least squares.
    """

    least_score: float = setting(0.5, bounds=(0.0, 1.0))
    reach_m: float = setting(0.025, bounds=(1e-3, 0.5))
    reach_rad: float = setting(0.3, bounds=(1e-3, 3.2))
    match_m: float = setting(0.004, bounds=(1e-4, 0.1))
    fewest: int = setting(3, bounds=(1, 1000))
    sigma_m: float = setting(0.001, bounds=(1e-5, 0.1))
    sigma_rad: float = setting(0.03, bounds=(1e-4, 1.0))
    prior_m: float = setting(0.005, bounds=(1e-4, 0.5))
    prior_rad: float = setting(0.01, bounds=(1e-4, 1.0))
    rounds: int = setting(12, bounds=(1, 1000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PairResidual:
    """Two views by index, the parts that both see, and their distance in the world.

    shift_m: distance between the two cameras' errors, at the middle of the parts.
    before_m, after_m: median distance of the parts' centres with the camera poses as given, and corrected.
    """

    first: int
    second: int
    parts: int
    shift_m: float
    before_m: float
    after_m: float


@dataclass(frozen=True, eq=False)
class CameraResiduals:
    """motions: (V, 4, 4) that correct the cameras, T_world_cam -> motion @ T_world_cam; pairs: that share parts.

    shift_m: (V,) size of each camera's error at the middle of the parts.
    """

    motions: FloatArray
    shift_m: FloatArray
    pairs: tuple[PairResidual, ...]


@dataclass(frozen=True, eq=False)
class _Match:
    """One part in two views: its centres (3,) and rotation difference (3,), and which of its rotations are seen."""

    first: int
    second: int
    center_a: FloatArray
    center_b: FloatArray
    turn: FloatArray
    rotation_weight: FloatArray


def camera_residuals(
    T_world_cam: Sequence[FloatArray],
    poses: Sequence[Sequence[PoseEstimate]],
    objects: Mapping[str, ObjectModel],
    config: CameraResidualConfig | None = None,
) -> CameraResiduals:
    """Estimate the error of each camera's pose.

    Args:
        T_world_cam: (4, 4) of each view.
        poses: of each view, in its camera.
        objects: the parts by id.
        config: settings.
    """
    c, alike = config or CameraResidualConfig(), AlikePoses(objects)
    sure = [
        [(pose.object_id, T @ pose.T_cam_obj) for pose in own if pose.score >= c.least_score]
        for T, own in zip(T_world_cam, poses, strict=True)
    ]
    pairs = list(combinations(range(len(sure)), 2))
    matches = [match for a, b in pairs for match in _matches(a, b, sure[a], sure[b], alike, c)]
    if not matches:
        return no_residuals(len(sure))
    middle = np.mean([(match.center_a + match.center_b) / 2 for match in matches], axis=0)
    twists = _solve(matches, len(sure), middle, c)
    motions = np.stack([_about(middle, twist) for twist in twists])
    return CameraResiduals(motions, np.linalg.norm(twists[:, :3], axis=1), _pairs(matches, motions, twists))


def no_residuals(count: int) -> CameraResiduals:
    """Those of cameras whose errors are not known."""
    return CameraResiduals(np.stack([NO_MOTION] * count), np.zeros(count), ())


def _matches(
    first: int,
    second: int,
    poses_a: Sequence[tuple[str, FloatArray]],
    poses_b: Sequence[tuple[str, FloatArray]],
    alike: AlikePoses,
    c: CameraResidualConfig,
) -> list[_Match]:
    """The parts of two views that one common shift brings together."""
    found = []
    for i, (name, T_a) in enumerate(poses_a):
        for j, (other, T_b) in enumerate(poses_b):
            if name == other and (match := _match(first, second, name, T_a, T_b, alike, c)) is not None:
                found.append((i, j, match))
    if not found:
        return []
    shifts = np.array([match.center_b - match.center_a for _, _, match in found])
    inliers = np.linalg.norm(shifts[:, None] - shifts[None], axis=-1) < c.match_m
    # A shift counts the parts of the view with fewer of them, so that one part is not counted twice.
    counts = [min(len({found[k][n] for k in np.flatnonzero(row)}) for n in (0, 1)) for row in inliers]
    size = np.linalg.norm(shifts, axis=1)
    best = min(range(len(found)), key=lambda k: (-counts[k], size[k]))
    if counts[best] < c.fewest and size[best] > c.match_m:
        return []
    center = shifts[inliers[best]].mean(0)
    return _one_to_one(found, shifts, center, c.match_m)


def _one_to_one(
    found: Sequence[tuple[int, int, _Match]], shifts: FloatArray, center: FloatArray, limit_m: float
) -> list[_Match]:
    """Each part at most once, those nearest to the common shift first."""
    distance = np.linalg.norm(shifts - center, axis=1)
    chosen: list[_Match] = []
    used_a: set[int] = set()
    used_b: set[int] = set()
    for k in np.argsort(distance, kind="stable"):
        i, j, match = found[k]
        if distance[k] < limit_m and i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            chosen.append(match)
    return chosen


def _match(
    first: int, second: int, name: str, T_a: FloatArray, T_b: FloatArray, alike: AlikePoses, c: CameraResidualConfig
) -> _Match | None:
    """Two poses of one kind of part, if they are near enough to be the same one."""
    part = alike.objects[name]
    center_a, center_b = part.center_in(T_a), part.center_in(T_b)
    if np.linalg.norm(center_b - center_a) > c.reach_m:
        return None
    turn = alike.difference(name, T_b, T_a)[3:]
    if np.linalg.norm(turn) > c.reach_rad:
        return None
    # A symmetric part's centre may not lie on its axis exactly; take that of the pose that looks alike.
    center_b = part.center_in(alike.nearest(name, T_b, T_a))
    return _Match(first, second, center_a, center_b, turn, _rotation_weight(part, T_a))


def _rotation_weight(part: ObjectModel, T: FloatArray) -> FloatArray:
    """(3, 3) projection onto the rotations that change what is seen of a part."""
    lines = part.symmetries.continuous
    if not lines:
        return np.eye(3)
    if len(lines) > 1:
        return np.zeros((3, 3))
    axis = T[:3, :3] @ lines[0].axis
    return np.asarray(np.eye(3) - np.outer(axis, axis))


def _solve(matches: Sequence[_Match], count: int, middle: FloatArray, c: CameraResidualConfig) -> FloatArray:
    """Twists (V, 6) = (shift of the middle in m, rotation vector in rad) of all cameras."""
    size = 6 * count
    twists: FloatArray = np.zeros((count, 6))
    for _ in range(c.rounds):
        H, g = np.zeros((size, size)), np.zeros(size)
        for match in matches:
            J_a, J_b = _jacobian(match.center_a - middle), _jacobian(match.center_b - middle)
            offset = np.concatenate([match.center_b - match.center_a, match.turn])
            residual = offset + J_b @ twists[match.second] - J_a @ twists[match.first]
            weight = np.zeros((6, 6))
            weight[:3, :3] = np.eye(3) / (2 * c.sigma_m**2)
            weight[3:, 3:] = match.rotation_weight / (2 * c.sigma_rad**2)
            weight /= 1.0 + float(residual @ weight @ residual) / 6.0  # Cauchy
            a, b = slice(6 * match.first, 6 * match.first + 6), slice(6 * match.second, 6 * match.second + 6)
            for rows, J, sign in ((a, J_a, -1.0), (b, J_b, 1.0)):
                g[rows] += sign * J.T @ weight @ offset
                H[rows, a] -= sign * J.T @ weight @ J_a
                H[rows, b] += sign * J.T @ weight @ J_b
        H += np.diag(_prior(twists, c).ravel())
        twists = np.linalg.solve(H, -g).reshape(count, 6)
    return twists


def _prior(twists: FloatArray, c: CameraResidualConfig) -> FloatArray:
    """(V, 6) weights that pull towards no motion: about the absolute value of each camera's motion."""
    scale = np.array([c.prior_m] * 3 + [c.prior_rad] * 3)
    size = np.linalg.norm(twists / scale, axis=1)
    return np.asarray(1.0 / (scale**2 * np.maximum(size, 0.05)[:, None]))


def _jacobian(arm: FloatArray) -> FloatArray:
    """(6, 6) motion of a part's centre and rotation by a twist about a point that is `arm` (3,) away."""
    J = np.eye(6)
    J[:3, 3:] = -skew(arm)
    return J


def _about(middle: FloatArray, twist: FloatArray) -> FloatArray:
    """The motion (4, 4) of a twist (6,) about a point."""
    R = exp_so3(twist[3:])
    return from_rotation_translation(R, middle + twist[:3] - R @ middle)


def _pairs(matches: Sequence[_Match], motions: FloatArray, twists: FloatArray) -> tuple[PairResidual, ...]:
    found = []
    for pair in sorted({(match.first, match.second) for match in matches}):
        own = [match for match in matches if (match.first, match.second) == pair]
        before = [float(np.linalg.norm(match.center_b - match.center_a)) for match in own]
        after = [
            float(np.linalg.norm(_moved(motions[pair[1]], m.center_b) - _moved(motions[pair[0]], m.center_a)))
            for m in own
        ]
        shift = float(np.linalg.norm(twists[pair[1], :3] - twists[pair[0], :3]))
        found.append(PairResidual(*pair, len(own), shift, float(np.median(before)), float(np.median(after))))
    return tuple(found)


def _moved(motion: FloatArray, point: FloatArray) -> FloatArray:
    return np.asarray(motion[:3, :3] @ point + motion[:3, 3])
