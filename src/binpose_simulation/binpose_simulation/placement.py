"""Initial placement of a pile's bodies: falling in a column, laid in rows, or dropped in bundles.

Real bins are filled in all three ways: parts are poured in, packed side by side, or put down in handfuls, in which thin
pins lie parallel. The physics determines the final poses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import BinSpec

CLEARANCE_M = 0.001


@dataclass(frozen=True, eq=False)
class BodyType:
    """The geometry of a part for collisions and placement.

    Attributes:
        pieces: convex meshes in the part's frame (metres).
        points: (P, 3) all their corners.
        center_m: (3,) centre of their bounding box.
        radius_m: of the sphere around center_m that contains them.
    """

    pieces: tuple[Mesh, ...]
    points: FloatArray
    center_m: FloatArray
    radius_m: float

    @classmethod
    def of(cls, pieces: Sequence[Mesh]) -> "BodyType":
        """The body type of convex pieces."""
        points = np.concatenate([piece.vertices for piece in pieces]).astype(np.float64)
        center = (points.min(0) + points.max(0)) / 2.0
        return cls(tuple(pieces), points, center, float(np.linalg.norm(points - center, axis=1).max()))


def poured(bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator) -> FloatArray:
    """Random orientations in a staggered column over the floor; T_world_obj (N, 4, 4)."""
    groups = [_single(body, rng) for body in bodies]
    spans = [_span([body], group) for body, group in zip(bodies, groups, strict=True)]
    return _column(groups, spans, spec, rng)


def bundled(bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator) -> FloatArray:
    """Bundles of two to five parallel bodies of one type, one above the other; T_world_obj (N, 4, 4)."""
    groups = _groups(bodies, rng)
    bundles = [_bundle([bodies[i] for i in group], rng) for group in groups]
    spans = [_span([bodies[i] for i in group], poses) for group, poses in zip(groups, bundles, strict=True)]
    T_world_obj = np.zeros((len(bodies), 4, 4))
    T_world_obj[np.concatenate(groups)] = _column(bundles, spans, spec, rng)
    return T_world_obj


def laid(bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator) -> FloatArray:
    """Rows on the floor, grouped by type, in as many layers as needed; T_world_obj (N, 4, 4)."""
    low, high = spec.inner_bounds(0.0)
    along = int(np.argmax(high - low)) if rng.random() < 0.7 else int(np.argmin(high - low))
    gap = CLEARANCE_M + rng.uniform(0.0, 0.003)
    turns = [_lying(body, rng, np.pi / 2.0 * along + rng.normal(scale=0.03)) for body in bodies]
    boxes = [np.stack([cloud.min(0), cloud.max(0)]) for cloud in _clouds(bodies, turns)]
    order = [i for group in _types(bodies, rng) for i in group]
    corners = _shelves([np.ptp(boxes[i], axis=0) for i in order], (high - low) - 2.0 * CLEARANCE_M, along, gap)
    T_world_obj = np.zeros((len(bodies), 4, 4))
    for i, corner in zip(order, corners, strict=True):
        origin = np.array([*(low + CLEARANCE_M), CLEARANCE_M]) + corner
        T_world_obj[i] = from_rotation_translation(turns[i], origin - boxes[i][0])
    return T_world_obj


def _column(
    groups: Sequence[FloatArray], spans: Sequence[FloatArray], spec: BinSpec, rng: np.random.Generator
) -> FloatArray:
    """Stack groups of poses (n_i, 4, 4) in layers of a loose grid; (sum n_i, 4, 4) in the order of the groups.

    Args:
        groups: poses about each group's own origin.
        spans: (3,) of each group: its radius about the vertical through that origin, its lowest and its highest z.
        spec: the bin below the column.
        rng: for order and positions.
    """
    pitch = 2.0 * max(float(span[0]) for span in spans) + CLEARANCE_M
    low, high = spec.inner_bounds(0.5 * spec.height_m)
    cells = np.maximum(((high - low) // pitch).astype(int), 1)
    room, per_layer = np.maximum((high - low) / cells - pitch, 0.0), int(cells.prod())
    placed, order, z = [group.copy() for group in groups], rng.permutation(len(groups)), CLEARANCE_M
    for start in range(0, len(groups), per_layer):
        members = order[start : start + per_layer]
        for member, spot in zip(members, rng.permutation(per_layer)[: len(members)], strict=True):
            cell = np.array(divmod(int(spot), int(cells[1])))
            xy = low + (cell + 0.5) * (high - low) / cells + rng.uniform(-0.5, 0.5, 2) * room
            placed[member][:, :3, 3] += [*xy, z - spans[member][1]]
        z += max(spans[member][2] - spans[member][1] for member in members) + CLEARANCE_M
    return np.concatenate(placed)


def _single(body: BodyType, rng: np.random.Generator) -> FloatArray:
    """A random orientation (1, 4, 4) of one body about its centre."""
    rotation = random_rotation(rng)
    return from_rotation_translation(rotation, -rotation @ body.center_m)[None]


def _types(bodies: Sequence[BodyType], rng: np.random.Generator) -> list[list[int]]:
    """Indices of the bodies of each type, the types in random order."""
    members: dict[int, list[int]] = {}
    for i, body in enumerate(bodies):
        members.setdefault(id(body), []).append(i)
    every = list(members.values())
    return [every[k] for k in rng.permutation(len(every))]


def _groups(bodies: Sequence[BodyType], rng: np.random.Generator) -> list[list[int]]:
    """Bundles of one type each."""
    groups = []
    for members in _types(bodies, rng):
        while members:
            size = int(rng.integers(2, 6))
            groups.append(members[:size])
            members = members[size:]
    return groups


def _bundle(bodies: Sequence[BodyType], rng: np.random.Generator) -> FloatArray:
    """One bundle: large ones have two layers, all axes are parallel, ends may be flipped; poses (n, 4, 4)."""
    yaw, gap = rng.uniform(-np.pi, np.pi), CLEARANCE_M + rng.uniform(0.0, 0.002)
    wide = len(bodies) if len(bodies) < 4 or rng.random() < 0.5 else (len(bodies) + 1) // 2
    turns = [_lying(body, rng, rng.normal(scale=0.05)) for body in bodies]
    clouds = _clouds(bodies, turns)
    size = np.max([np.ptp(cloud, axis=0) for cloud in clouds], axis=0) + gap
    poses = []
    for k, (cloud, rotation) in enumerate(zip(clouds, turns, strict=True)):
        middle = (cloud.min(0) + cloud.max(0)) / 2.0
        spot = np.array([0.0, k % wide - (wide - 1) / 2.0, k // wide - (len(bodies) - 1) // wide / 2.0]) * size
        slip = np.array([rng.normal(scale=0.06) * size[0], 0.0, 0.0])
        poses.append(from_rotation_translation(rotation, spot + slip - middle))
    return from_rotation_translation(exp_so3(np.array([0.0, 0.0, yaw])), np.zeros(3)) @ np.array(poses)


def _span(bodies: Sequence[BodyType], poses: FloatArray) -> FloatArray:
    """Radius about the z axis, lowest and highest z (3,) of bodies in poses (n, 4, 4)."""
    clouds = _clouds(bodies, poses[:, :3, :3])
    points = np.concatenate([cloud + pose[:3, 3] for cloud, pose in zip(clouds, poses, strict=True)])
    return np.array([np.linalg.norm(points[:, :2], axis=1).max(), points[:, 2].min(), points[:, 2].max()])


def _lying(body: BodyType, rng: np.random.Generator, yaw_rad: float) -> FloatArray:
    """Rotation (3, 3) that lays a body flat: thinnest box side vertical, longest one along yaw, in either direction."""
    extent = np.ptp(body.points, axis=0)
    # Equal sides are permuted, so that a rod lies on any of its flanks.
    thin, long = int(np.argmin(extent * rng.uniform(1.0, 1.1, 3))), int(np.argmax(extent))
    if thin == long:
        thin = (long + 1) % 3
    up, front = rng.choice([-1.0, 1.0]) * np.eye(3)[thin], rng.choice([-1.0, 1.0]) * np.eye(3)[long]
    flat = np.stack([front, np.cross(up, front), up])
    return exp_so3(np.array([0.0, 0.0, yaw_rad])) @ flat


def _clouds(bodies: Sequence[BodyType], rotations: Sequence[FloatArray] | FloatArray) -> list[FloatArray]:
    return [body.points @ rotation.T for body, rotation in zip(bodies, rotations, strict=True)]


def _shelves(sizes: Sequence[FloatArray], room: FloatArray, along: int, gap_m: float) -> list[FloatArray]:
    """Lowest corners (3,) of boxes packed in rows across `along`, then in layers."""
    across = 1 - along
    corners: list[FloatArray] = []
    cursor, row, layer = np.zeros(3), 0.0, 0.0
    for size in sizes:
        if cursor[across] > 0.0 and cursor[across] + size[across] > room[across]:
            cursor[across], cursor[along], row = 0.0, cursor[along] + row, 0.0
        if cursor[along] > 0.0 and cursor[along] + size[along] > room[along]:
            cursor, row, layer = np.array([0.0, 0.0, cursor[2] + layer]), 0.0, 0.0
        corners.append(cursor.copy())
        cursor[across] += size[across] + gap_m
        row, layer = max(row, size[along] + gap_m), max(layer, size[2] + gap_m)
    return corners
