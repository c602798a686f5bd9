"""Symmetries found from the mesh alone, exact ones and near ones.

The surface is registered to itself from rotations all over SO(3): every place where the registration comes
to rest with most of the surface on itself is a symmetry, a near-symmetry, or its neighbour. The axes of
these motions are then asked for their order, the answers closed to a group, and each element verified.

What counts as exact is what a camera with a good depth sensor cannot see: at the distance at which a part fills
its crop, such a sensor's noise is about 1 % of the part's diameter (0.3 mm on 30 mm). What counts as near is what
leaves most of the visible surface in place, such as a motor's roll that only moves its off-centre shaft.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.closest import DistanceField
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray, inverse, log_so3, rotation_angle_rad, transform
from binpose_core.decimation import decimated
from binpose_core.meshes import Mesh, diameter_m
from binpose_core.registration import register
from binpose_core.surface import seen_samples
from binpose_core.symmetries import ContinuousSymmetry, Symmetries, closed_group, even_rotations, rotations_about

SAMPLES = 4000
# Of the 2,000 pixels of a part in a usual crop, 30 may differ a little, 6 boldly: less than the sensor loses at edges.
DIFFERING, DIFFERING_BOLDLY = 0.015, 0.003
MAX_PRODUCTS = 24
NEAR_APART_RAD = np.deg2rad(20)
GOLDEN_TURN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class SymmetryConfig:
    """What counts as the same.

    exact_tolerance: of the part's size; 98.5 % of what cameras see of it deviates by less than this, 99.7 % by less
        than three times this. The size is the diameter, or four times the middle extent of a slender part, whose
        cross-section would otherwise drown in the tolerance.
    near_tolerance, near_share: a near-symmetry leaves at least this share of the visible surface within this tolerance.
    near_step_rad: steps in which a part that is nearly round is turned.
    max_order: largest count of a rotation that is looked for, such as the teeth of a gear.
    max_near: so many near-symmetries are kept, the best.
    """

    exact_tolerance: float = 0.01
    near_tolerance: float = 0.02
    near_share: float = 0.85
    near_step_rad: float = np.pi / 6
    max_order: int = 100
    max_near: int = 24
    starts: int = 800
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.exact_tolerance <= self.near_tolerance < 0.1:
            raise BinposeError(
                f"Symmetry tolerances {self.exact_tolerance} (exact) and {self.near_tolerance} (near); "
                "expected 0 < exact <= near < 0.1 of the part's size."
            )
        if not 0.5 <= self.near_share <= 1 or not 0.05 < self.near_step_rad <= np.pi or self.max_order < 2:
            raise BinposeError(
                f"near_share {self.near_share}, near_step_rad {self.near_step_rad}, max_order {self.max_order}; "
                "expected 0.5..1, 0.05..pi and at least 2."
            )


def find_symmetries(mesh: Mesh, config: SymmetryConfig | None = None) -> Symmetries:
    """The symmetries of a mesh in metres, in its own frame."""
    config = config or SymmetryConfig()
    judge = _Judge(mesh, config)
    motions = _self_registrations(mesh, judge, config)
    axes = _axes(motions)
    revolutions, generators = _exact_axes(axes, judge, config)
    if len(revolutions) > 1:
        return Symmetries(np.eye(4)[None], tuple(revolutions[:2]), np.zeros((0, 4, 4)))
    discrete = _exact_group(revolutions, generators, judge, config)
    exact = Symmetries(discrete, tuple(revolutions), np.zeros((0, 4, 4)))
    return Symmetries(discrete, tuple(revolutions), _near(exact, motions, axes, judge, config))


class _Judge:
    """Measures how well a motion maps the visible surface onto the surface."""

    def __init__(self, mesh: Mesh, config: SymmetryConfig) -> None:
        self.points, self.normals = seen_samples(mesh, SAMPLES, np.random.default_rng(config.seed))
        self.size_m = min(diameter_m(mesh), 4 * _middle_extent(self.points))
        self.exact_m, self.near_m = config.exact_tolerance * self.size_m, config.near_tolerance * self.size_m
        self.field = DistanceField(mesh, max(3.01 * self.exact_m, 2 * self.near_m))

    def exact(self, motions: FloatArray) -> bool:
        """Whether no sensor could tell any of the motions (K, 4, 4) from standing still."""
        for some in (motions[:: max(1, len(motions) // 3)], motions):  # most candidates fail at a glance
            glance = self._both_ways(some, 100) > self.exact_m
            if glance.mean(axis=-1).max(initial=0.0) > 6 * DIFFERING:
                return False
        return all(self._same(self._both_ways(motion[None], len(self.points))) for motion in motions)

    def _same(self, distances: FloatArray) -> bool:
        little, boldly = (distances > self.exact_m).mean(), (distances > 3 * self.exact_m).mean()
        return bool(little <= DIFFERING and boldly <= DIFFERING_BOLDLY)

    def share(self, motions: FloatArray, few: int = 1000) -> FloatArray:
        """(K,) share of the surface that stays in place within the near tolerance under motions (K, 4, 4)."""
        within = self._both_ways(motions, few) <= self.near_m
        return np.asarray(within.mean(axis=-1).min(axis=0))

    def _both_ways(self, motions: FloatArray, few: int) -> FloatArray:
        both = np.stack([motions, inverse(motions)])
        return self.field(transform(both, self.points[:few]))


def _middle_extent(points: FloatArray) -> float:
    """The second largest extent of points (N, 3) along their principal axes."""
    _, axes = np.linalg.eigh(np.cov(points.T))
    return float(np.sort(np.ptp(points @ axes, axis=0))[1])


def _self_registrations(mesh: Mesh, judge: _Judge, config: SymmetryConfig) -> FloatArray:
    """Motions (M, 4, 4) that lay most of the surface on itself, best first, no two alike, without the identity."""
    size_m, points, normals = judge.size_m, judge.points, judge.normals
    coarse = decimated(mesh, 1000) if len(mesh.faces) > 1000 else mesh
    field = DistanceField(coarse, 0.12 * size_m)
    center = points.mean(axis=0)
    rotations = even_rotations(config.starts)
    starts = np.tile(np.eye(4), (len(rotations), 1, 1))
    starts[:, :3, :3], starts[:, :3, 3] = rotations, center - rotations @ center
    scales_m = np.geomspace(0.08, 0.03, 8) * size_m
    motions = register(points[:96], normals[:96], field, starts, scales_m[:3])
    motions = motions[np.argsort(-_share_within(0.06 * size_m, field, motions, points[:96]))[: config.starts // 3]]
    motions = register(points[:96], normals[:96], field, motions, scales_m[3:])
    share = _share_within(0.05 * size_m, field, motions, points[:200])
    motions = _distinct(motions, share, config.near_share - 0.15, np.deg2rad(12), 64)
    motions = register(points[:300], normals[:300], judge.field, motions, np.geomspace(0.03, 0.005, 10) * size_m)
    return _distinct(motions, judge.share(motions), config.near_share - 0.05, np.deg2rad(5), 64)


def _share_within(reach_m: float, field: DistanceField, motions: FloatArray, points: FloatArray) -> FloatArray:
    """Share (B,) of the points that motions (B, 4, 4) bring within reach_m of the surface."""
    return np.asarray((field(transform(motions, points)) < reach_m).mean(axis=-1))


def _distinct(motions: FloatArray, share: FloatArray, least: float, apart_rad: float, most: int) -> FloatArray:
    """The motions of at least that share, best first, that turn by `apart_rad` from the identity and each other."""
    kept = [np.eye(4)]
    for motion in motions[np.argsort(-share, kind="stable")[: int((share >= least).sum())]]:
        if len(kept) <= most and rotation_angle_rad(np.stack(kept)[:, :3, :3], motion[:3, :3]).min() > apart_rad:
            kept.append(motion)
    return np.stack(kept)[1:]


def _axes(motions: FloatArray) -> list[ContinuousSymmetry]:
    """The lines that the motions turn about, those of most motions first."""
    lines: list[ContinuousSymmetry] = []
    support: list[int] = []
    for motion in motions:
        line = _axis_of(motion)
        same = [i for i, other in enumerate(lines) if _same_line(line, other)]
        if same:
            support[same[0]] += 1
        else:
            lines.append(line)
            support.append(1)
    return [lines[i] for i in np.argsort(-np.array(support, dtype=int), kind="stable")]


def _axis_of(motion: FloatArray) -> ContinuousSymmetry:
    """The axis of a motion, its shift along the axis left out."""
    vector = log_so3(motion[:3, :3])
    axis = vector / np.linalg.norm(vector)
    shift = motion[:3, 3] - axis * (axis @ motion[:3, 3])
    offset = np.linalg.lstsq(np.eye(3) - motion[:3, :3], shift, rcond=1e-6)[0]
    return ContinuousSymmetry(axis, offset)


def _same_line(a: ContinuousSymmetry, b: ContinuousSymmetry, apart_rad: float = 0.05) -> bool:
    return bool(np.linalg.norm(np.cross(a.axis, b.axis)) < np.sin(apart_rad))


def _exact_axes(
    axes: list[ContinuousSymmetry], judge: _Judge, config: SymmetryConfig
) -> tuple[list[ContinuousSymmetry], list[FloatArray]]:
    """Axes of revolution, and the smallest rotations (4, 4) about the others that are exact symmetries."""
    revolutions: list[ContinuousSymmetry] = []
    generators: list[tuple[int, FloatArray]] = []
    for line in axes:
        if revolutions and generators and not _oblique(line, revolutions[0]):
            continue  # one flip is enough beside a revolution
        order = _order(line, judge, config)
        if order == 0:
            revolutions.append(line)
            if len(revolutions) > 1:
                break
        elif order > 1:
            generators.append((order, rotations_about(line.axis, line.offset, np.array([2 * np.pi / order]))[0]))
    return revolutions, [motion for _, motion in sorted(generators, key=lambda item: -item[0])]


def _oblique(a: ContinuousSymmetry, b: ContinuousSymmetry) -> bool:
    return bool(0.05 < abs(a.axis @ b.axis) < 0.998)


def _order(line: ContinuousSymmetry, judge: _Judge, config: SymmetryConfig) -> int:
    """How often the part repeats in one turn about the line; 0 for always, 1 for not at all."""

    def repeats(count: int) -> bool:
        turns = rotations_about(line.axis, line.offset, np.arange(1, count // 2 + 1) * (2 * np.pi / count))
        return judge.exact(turns)

    if judge.exact(rotations_about(line.axis, line.offset, np.arange(1, 25) * GOLDEN_TURN)):
        return 0
    order = 1
    for power in _prime_powers(config.max_order):
        if order * power // math.gcd(order, power) <= config.max_order and repeats(power):
            order = math.lcm(order, power)
    return order if order == 1 or repeats(order) else 1


def _prime_powers(most: int) -> list[int]:
    """All powers of primes up to `most`."""
    primes = [n for n in range(2, most + 1) if all(n % d for d in range(2, math.isqrt(n) + 1))]
    return sorted(p**k for p in primes for k in range(1, 8) if p**k <= most)


def _exact_group(
    revolutions: list[ContinuousSymmetry], generators: list[FloatArray], judge: _Judge, config: SymmetryConfig
) -> FloatArray:
    """The group (S, 4, 4) of the generators, taken in one by one as long as every element proves exact."""
    if revolutions:
        flips = [_flip(revolutions[0], _axis_of(motion)) for motion in generators]
        return next((np.stack([np.eye(4), f]) for f in flips if f is not None and judge.exact(f[None])), np.eye(4)[None])
    chosen: list[FloatArray] = []
    group = np.eye(4)[None]
    for motion in generators:
        if rotation_angle_rad(group[:, :3, :3], motion[:3, :3]).min() < np.deg2rad(1):
            continue
        larger = closed_group([*chosen, motion], most=2 * config.max_order)
        if larger is not None and judge.exact(larger[1:]):
            chosen, group = [*chosen, motion], larger
    return group


def _flip(revolution: ContinuousSymmetry, line: ContinuousSymmetry) -> FloatArray | None:
    """The half turn about the line, made to cut the axis of revolution at a right angle; None if it is far from that."""
    axis = line.axis - (line.axis @ revolution.axis) * revolution.axis
    if np.linalg.norm(axis) < 0.99:
        return None
    along = (line.offset - revolution.offset) @ revolution.axis
    offset = revolution.offset + along * revolution.axis
    return rotations_about(axis / np.linalg.norm(axis), offset, np.array([np.pi]))[0]


def _near(
    exact: Symmetries, motions: FloatArray, axes: list[ContinuousSymmetry], judge: _Judge, config: SymmetryConfig
) -> FloatArray:
    """Near-symmetries (M, 4, 4) that the exact ones do not cover.

    A part that is nearly round about an axis gets equal steps about it; then come the other motions, best first, each
    with its products with those steps and with the exact symmetries.
    """
    rolls = _near_rolls(axes, judge, config)
    left = exact.discrete if len(exact.discrete) <= MAX_PRODUCTS else np.eye(4)[None]
    share = judge.share(motions) if len(motions) else np.zeros(0)
    pool = [np.eye(4), *motions[np.argsort(-share, kind="stable")[: int((share >= config.near_share).sum())]]]
    kept = np.zeros((0, 4, 4))
    for motion in pool:
        known = np.concatenate([exact.discrete, kept])
        if motion is not pool[0] and _apart_rad(motion, known, exact.continuous).min() < NEAR_APART_RAD:
            continue
        family = (left[:, None] @ motion @ rolls[None]).reshape(-1, 4, 4)
        for member in family[judge.share(family) >= config.near_share]:
            known = np.concatenate([exact.discrete, kept])
            if len(kept) < config.max_near and _apart_rad(member, known, exact.continuous).min() > NEAR_APART_RAD:
                kept = np.concatenate([kept, member[None]])
    return kept


def _near_rolls(axes: list[ContinuousSymmetry], judge: _Judge, config: SymmetryConfig) -> FloatArray:
    """Rotations (K, 4, 4) in equal steps about the axis about which the part is nearly round; else the identity."""
    steps = np.arange(round(2 * np.pi / config.near_step_rad)) * config.near_step_rad
    best, best_share = np.eye(4)[None], config.near_share
    for line in axes:
        turns = rotations_about(line.axis, line.offset, steps)
        least = float(judge.share(turns).min()) if judge.share(turns[1:4], 200).min() > config.near_share - 0.1 else 0.0
        if least >= best_share:
            best, best_share = turns, least
    return best


def _apart_rad(
    motion: FloatArray, others: FloatArray, continuous: tuple[ContinuousSymmetry, ...]
) -> npt.NDArray[np.floating]:
    """Angles (K,) between a motion and others (K, 4, 4), rotations about a continuous axis not counted."""
    if not continuous:
        return np.asarray(rotation_angle_rad(others[:, :3, :3], motion[:3, :3]))
    axis = continuous[0].axis
    return np.arccos(np.clip((others[:, :3, :3] @ axis) @ (motion[:3, :3] @ axis), -1, 1))
