"""Finds exact symmetries and near-symmetries from the mesh alone.

The surface is registered to itself from rotations all over SO(3). Every result with most of the surface on itself is a
symmetry, a near-symmetry, or close to one. The orders of the axes of these motions are determined, the resulting
rotations are closed to a group, and each element is verified.
"""

import math

import numpy as np

from binpose_core.geometry.transforms import FloatArray, log_so3, rotation_angle_rad, transform
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.decimation import decimated
from binpose_core.meshes.mesh import Mesh
from binpose_core.meshes.registration import register
from binpose_core.parts.near_symmetries import near_symmetries
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries, closed_group, even_rotations, rotations_about
from binpose_core.parts.symmetry_flips import aligned_flip
from binpose_core.parts.symmetry_test import SymmetryConfig, SymmetryTest, mesh_to_test

GOLDEN_TURN = np.pi * (3 - np.sqrt(5))


def find_symmetries(mesh: Mesh, config: SymmetryConfig | None = None) -> Symmetries:
    """The symmetries of a mesh in metres, in its own frame."""
    config = config or SymmetryConfig()
    mesh = mesh_to_test(mesh)
    test = SymmetryTest(mesh, config)
    motions = _self_registrations(mesh, test, config)
    axes = _axes(motions)
    revolutions, generators = _exact_axes(axes, test, config)
    if not revolutions:
        generators += _flips_of_nearly_round(axes, motions, test)
    if len(revolutions) > 1:
        return Symmetries(np.eye(4)[None], tuple(revolutions[:2]), np.zeros((0, 4, 4)))
    discrete = _exact_group(revolutions, generators, test, config)
    exact = Symmetries(discrete, tuple(revolutions), np.zeros((0, 4, 4)))
    return Symmetries(discrete, tuple(revolutions), near_symmetries(exact, motions, axes, test, config))


def _self_registrations(mesh: Mesh, test: SymmetryTest, config: SymmetryConfig) -> FloatArray:
    """Motions (M, 4, 4) that align most of the surface with itself, best first, distinct, without the identity."""
    size_m, points, normals = test.size_m, test.points, test.normals
    coarse = decimated(mesh, 1000) if len(mesh.faces) > 1000 else mesh
    field = DistanceField(coarse, 0.12 * size_m)
    center = points.mean(axis=0)
    rotations = even_rotations(config.starts)
    starts = np.tile(np.eye(4), (len(rotations), 1, 1))
    starts[:, :3, :3], starts[:, :3, 3] = rotations, center - rotations @ center
    scales_m = np.geomspace(0.08, 0.03, 8) * size_m
    motions = register(points[:96], normals[:96], field, starts, scales_m[:3])
    motions = motions[np.argsort(-_fraction_within(0.06 * size_m, field, motions, points[:96]))[: config.starts // 3]]
    motions = register(points[:96], normals[:96], field, motions, scales_m[3:])
    fraction = _fraction_within(0.05 * size_m, field, motions, points[:200])
    motions = _distinct(motions, fraction, config.near_share - 0.15, np.deg2rad(12), 64)
    motions = register(points[:300], normals[:300], test.field, motions, np.geomspace(0.03, 0.005, 10) * size_m)
    return _distinct(motions, test.fraction_kept(motions), config.near_share - 0.05, np.deg2rad(5), 64)


def _fraction_within(reach_m: float, field: DistanceField, motions: FloatArray, points: FloatArray) -> FloatArray:
    """Fraction (B,) of the points that motions (B, 4, 4) bring within reach_m of the surface."""
    return np.asarray((field(transform(motions, points)) < reach_m).mean(axis=-1))


def _distinct(motions: FloatArray, fraction: FloatArray, least: float, apart_rad: float, most: int) -> FloatArray:
    """The motions of at least that fraction, best first, `apart_rad` from the identity and from each other."""
    kept = [np.eye(4)]
    for motion in motions[np.argsort(-fraction, kind="stable")[: int((fraction >= least).sum())]]:
        if len(kept) <= most and rotation_angle_rad(np.stack(kept)[:, :3, :3], motion[:3, :3]).min() > apart_rad:
            kept.append(motion)
    return np.stack(kept)[1:]


def _axes(motions: FloatArray) -> list[ContinuousSymmetry]:
    """The axes of the motions, those of most motions first."""
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
    """The axis of a motion, without its translation along the axis."""
    vector = log_so3(motion[:3, :3])
    axis = vector / np.linalg.norm(vector)
    shift = motion[:3, 3] - axis * (axis @ motion[:3, 3])
    offset = np.linalg.lstsq(np.eye(3) - motion[:3, :3], shift, rcond=1e-6)[0]
    return ContinuousSymmetry(axis, offset)


def _same_line(a: ContinuousSymmetry, b: ContinuousSymmetry, apart_rad: float = 0.05) -> bool:
    return bool(np.linalg.norm(np.cross(a.axis, b.axis)) < np.sin(apart_rad))


def _exact_axes(
    axes: list[ContinuousSymmetry], test: SymmetryTest, config: SymmetryConfig
) -> tuple[list[ContinuousSymmetry], list[FloatArray]]:
    """Axes of revolution, and the smallest rotations (4, 4) about the others that are exact symmetries."""
    revolutions: list[ContinuousSymmetry] = []
    generators: list[tuple[int, FloatArray]] = []
    for line in axes:
        if revolutions and generators and not _oblique(line, revolutions[0]):
            continue  # one flip is enough beside a revolution
        order = _order(line, test, config)
        if order == 0:
            revolutions.append(line)
            if len(revolutions) > 1:
                break
        elif order > 1:
            generators.append((order, rotations_about(line.axis, line.offset, np.array([2 * np.pi / order]))[0]))
    return revolutions, [motion for _, motion in sorted(generators, key=lambda item: -item[0])]


def _oblique(a: ContinuousSymmetry, b: ContinuousSymmetry) -> bool:
    return bool(0.05 < abs(a.axis @ b.axis) < 0.998)


def _order(line: ContinuousSymmetry, test: SymmetryTest, config: SymmetryConfig) -> int:
    """The order of the rotational symmetry about the line; 0 for continuous, 1 for none."""

    def repeats(count: int) -> bool:
        turns = rotations_about(line.axis, line.offset, np.arange(1, count // 2 + 1) * (2 * np.pi / count))
        return test.exact(turns)

    if test.round_about(rotations_about(line.axis, line.offset, np.arange(1, 25) * GOLDEN_TURN)):
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


def _flips_of_nearly_round(axes: list[ContinuousSymmetry], motions: FloatArray, test: SymmetryTest) -> list[FloatArray]:
    """An exact half turn across the axis of a part that is round except for a detail; none or one (4, 4)."""
    turns = np.arange(1, 25) * GOLDEN_TURN
    line = next((line for line in axes if test.surface_stays(rotations_about(line.axis, line.offset, turns))), None)
    if line is None:
        return []
    across = [_flip(line, _axis_of(motion)) for motion in motions]
    flip = next((flip for flip in across if flip is not None and test.surface_stays(flip[None])), None)
    if flip is None:
        return []
    aligned = aligned_flip(line, flip, test.views)
    return [aligned] if test.exact(aligned[None]) else []


def _exact_group(
    revolutions: list[ContinuousSymmetry], generators: list[FloatArray], test: SymmetryTest, config: SymmetryConfig
) -> FloatArray:
    """The group (S, 4, 4) of the generators; each is added only if every element of the enlarged group is exact."""
    if revolutions:
        flips = [_flip(revolutions[0], _axis_of(motion)) for motion in generators]
        proven = [f for f in flips if f is not None and test.exact(f[None])]
        return np.stack([np.eye(4), *proven[:1]])
    chosen: list[FloatArray] = []
    group: FloatArray = np.eye(4)[None]
    for motion in generators:
        if rotation_angle_rad(group[:, :3, :3], motion[:3, :3]).min() < np.deg2rad(1):
            continue
        larger = closed_group([*chosen, motion], most=2 * config.max_order)
        if larger is not None and test.exact(larger[1:]):
            chosen, group = [*chosen, motion], larger
    return group


def _flip(revolution: ContinuousSymmetry, line: ContinuousSymmetry) -> FloatArray | None:
    """The half turn about the line, adjusted to a right angle with the axis of revolution; None if it is far off."""
    axis = line.axis - (line.axis @ revolution.axis) * revolution.axis
    if np.linalg.norm(axis) < 0.99:
        return None
    along = (line.offset - revolution.offset) @ revolution.axis
    offset = revolution.offset + along * revolution.axis
    return rotations_about(axis / np.linalg.norm(axis), offset, np.array([np.pi]))[0]
