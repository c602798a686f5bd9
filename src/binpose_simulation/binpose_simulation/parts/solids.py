"""Building blocks of the part library: prisms, turned and swept solids, in millimetres.

All functions return a `manifold3d.Manifold`, so unions and differences (``+``, ``-``, ``^``) stay watertight.
"""

from collections.abc import Sequence

import manifold3d
import numpy as np
import numpy.typing as npt
from manifold3d import CrossSection, FillRule, Manifold

from binpose_core.meshes.mesh import Mesh

Points = npt.NDArray[np.float64]
MM = 1e-3  # metres


def circle(radius: float, segments: int = 32, center: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Contour (segments, 2) of a circle, counter-clockwise."""
    angle = 2.0 * np.pi * np.arange(segments) / segments
    return np.stack([np.cos(angle), np.sin(angle)], -1) * radius + center


def rectangle(width: float, height: float, radius: float = 0.0, center: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Contour (4, 2), or (4 * 7, 2) with rounded corners, of a centred rectangle, counter-clockwise."""
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=np.float64)
    corners = signs * (np.array([width, height]) / 2.0 - radius)
    if radius == 0.0:
        return corners + center
    angle = np.linspace(0.0, np.pi / 2.0, 7)
    arcs = [c + radius * np.stack([np.cos(angle + k), np.sin(angle + k)], -1) for k, c in _quarter_turns(corners)]
    contour = np.concatenate(arcs) + center
    return contour[np.linalg.norm(contour - np.roll(contour, 1, 0), axis=1) > 1e-6]


def _quarter_turns(corners: Points) -> list[tuple[float, Points]]:
    return [(k * np.pi / 2.0, corner) for k, corner in enumerate(corners)]


def slot(length: float, width: float, center: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Contour of an obround along x whose round ends reach `length` apart in total."""
    return rectangle(length, width, width / 2.0 - 1e-4, center)


def prism(contours: Sequence[Points], height: float, chamfer: float = 0.0) -> Manifold:
    """Extrude an outline with holes from z = 0 to `height`; both rims are chamfered at 45 degrees.

    Args:
        contours: (N, 2) each; even-odd filling makes inner ones holes.
        height: in millimetres.
        chamfer: in millimetres; holes are countersunk by it. Smaller than every convex radius and half the height.
    """
    outline = CrossSection([np.asarray(c, dtype=np.float64) for c in contours], FillRule.EvenOdd).to_polygons()
    levels = [(0.0, chamfer), (chamfer, 0.0), (height - chamfer, 0.0), (height, chamfer)]
    if chamfer == 0.0:
        levels = [(0.0, 0.0), (height, 0.0)]
    rings = [np.concatenate([_inset(p, inset) for p in outline]) for _, inset in levels]
    count = len(rings[0])
    vertices = np.concatenate([np.insert(ring, 2, z, axis=1) for ring, (z, _) in zip(rings, levels, strict=True)])
    cap = np.asarray(manifold3d.triangulate([_inset(p, chamfer) for p in outline]))
    sides = [_side_faces(outline) + level * count for level in range(len(levels) - 1)]
    # The quads connect one ring with the next, whose indices are `count` higher.
    faces = np.concatenate([cap[:, ::-1], *sides, cap + (len(levels) - 1) * count])
    return _manifold(vertices, faces)


def _inset(contour: Points, distance: float) -> Points:
    """Move every edge of a contour to its left by `distance`, keeping the vertices (mitred)."""
    direction = np.roll(contour, -1, 0) - contour
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1)
    before = np.roll(normal, 1, 0)
    return contour + distance * (normal + before) / (1.0 + (normal * before).sum(1, keepdims=True))


def _side_faces(outline: Sequence[Points]) -> npt.NDArray[np.int64]:
    """Two triangles per edge between a ring and the one above it, as indices of the lower ring."""
    count, start, faces = sum(map(len, outline)), 0, []
    for contour in outline:
        a = np.arange(len(contour)) + start
        b = np.roll(a, -1)
        faces += [np.stack([a, b, b + count], -1), np.stack([a, b + count, a + count], -1)]
        start += len(contour)
    return np.concatenate(faces)


def _manifold(vertices: Points, faces: npt.NDArray[np.int64]) -> Manifold:
    return Manifold(manifold3d.Mesh64(vertices.astype(np.float64), faces.astype(np.uint64)))


def turned(profile: Sequence[tuple[float, float]], segments: int = 48) -> Manifold:
    """A lathe part about z from its half section: points (radius, z)."""
    section = CrossSection([np.asarray(profile, dtype=np.float64)], FillRule.EvenOdd)
    return Manifold.revolve(section, segments)


def cylinder(radius: float, height: float, chamfer: float = 0.0, segments: int = 48) -> Manifold:
    """A cylinder about z from z = 0 to `height` with chamfered rims."""
    r, c = radius, chamfer
    if c == 0.0:
        return Manifold.cylinder(height, r, r, segments)
    return turned([(0, 0), (r - c, 0), (r, c), (r, height - c), (r - c, height), (0, height)], segments)


def block(size: tuple[float, float, float], chamfer: float = 0.0, radius: float = 0.0) -> Manifold:
    """A box, x and y centred and z from 0, with rounded vertical edges and chamfered rims."""
    return prism([rectangle(size[0], size[1], radius)], size[2], chamfer)


def swept_circle(path: Points, radius: float, segments: int = 20) -> Manifold:
    """A round bar along a path (N, 3) in the xz plane, ends cut square."""
    tangent = np.gradient(path, axis=0)
    tangent[0], tangent[-1] = path[1] - path[0], path[-1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.array([0.0, 1.0, 0.0])
    normal = np.cross(tangent, side)
    unit = circle(radius, segments)
    rings = path[:, None] + unit[None, :, :1] * normal[:, None] + unit[None, :, 1:] * -side
    vertices = rings.reshape(-1, 3)
    faces = [_side_faces([unit]) + k * segments for k in range(len(path) - 1)]
    cap = np.asarray(manifold3d.triangulate([unit]))
    return _manifold(vertices, np.concatenate([cap[:, ::-1], *faces, cap + (len(path) - 1) * segments]))


def along_x(solid: Manifold) -> Manifold:
    """Rotate a solid built along z so that its z axis points to +x."""
    return solid.rotate((0.0, 90.0, 0.0))


def along_y(solid: Manifold) -> Manifold:
    """Rotate a solid built along z so that its z axis points to +y."""
    return solid.rotate((-90.0, 0.0, 0.0))


def union(solids: Sequence[Manifold]) -> Manifold:
    """All solids fused into one."""
    return Manifold.batch_boolean(list(solids), manifold3d.OpType.Add)


def to_mesh(solid: Manifold) -> Mesh:
    """The solid in metres, its bounding box centred at the origin, duplicate vertices welded."""
    low, high = np.asarray(solid.bounding_box()).reshape(2, 3)
    raw = solid.simplify(2e-3).to_mesh64()
    vertices = np.asarray(raw.vert_properties)[:, :3] - (low + high) / 2.0
    return Mesh((vertices * MM).astype(np.float32), np.asarray(raw.tri_verts).astype(np.int32))
