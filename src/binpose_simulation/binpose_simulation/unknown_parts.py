"""Parts of unknown types: clutter among the known ones, and content of neighbouring bins."""

from collections.abc import Sequence

import numpy as np
from manifold3d import Manifold

from binpose_core.meshes.mesh import Mesh
from binpose_simulation import parts as library
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.parts.solids import circle, prism, rectangle, to_mesh
from binpose_simulation.prepared_parts import PreparedPart, longest_axis

# Diameters relative to the known parts, among them and in a separate bin.
AMONG_SIZES, APART_SIZES = (0.5, 1.3), (0.5, 2.5)
STRETCHED_SHARE, BLANK_SHARE = 0.3, 0.4
STRETCH = (1.4, 3.0)
BLANK_LENGTH, BLANK_WIDTH = (0.6, 3.0), (0.6, 1.0)
"""Range of a bar's sizes, relative to the longest and the second longest side of the part it could be made into."""


def distractor(rng: np.random.Generator, diameter_m: float, sizes: tuple[float, float] = AMONG_SIZES) -> PreparedPart:
    """A part of an unknown type, at `sizes` times the diameter of the known ones; its convex hull collides."""
    mesh = library.make_distractor(rng)
    size_m = diameter_m * rng.uniform(*sizes)
    scale = size_m / np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    return _prepared(Mesh((mesh.vertices * scale).astype(np.float32), mesh.faces), size_m)


def unknown_part(rng: np.random.Generator, types: Sequence[PreparedPart], diameter_m: float) -> PreparedPart:
    """Content of a bin beside bins of known `types`, whose median diameter is `diameter_m`.

    Neighbouring bins often hold related parts: a longer variant of a known part, the bar stock that it is turned from,
    such as rods beside pins of the same thickness, or an arbitrary part.
    """
    kind = rng.random()
    part = types[int(rng.integers(len(types)))]
    if kind < STRETCHED_SHARE:
        return stretched(part, rng.uniform(*STRETCH))
    if kind < STRETCHED_SHARE + BLANK_SHARE:
        return blank(part, rng)
    return distractor(rng, diameter_m, APART_SIZES)


def stretched(part: PreparedPart, factor: float) -> PreparedPart:
    """The part stretched along its longest axis; convex pieces stay convex."""
    scale = np.where(longest_axis(part.mesh) > 0, factor, 1.0)
    mesh, *pieces = (Mesh((m.vertices * scale).astype(np.float32), m.faces) for m in (part.mesh, *part.pieces))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), tuple(pieces), _size_m(mesh), part.axis)


def blank(part: PreparedPart, rng: np.random.Generator) -> PreparedPart:
    """A round, hexagonal or square bar about as thick as the part."""
    _, thick_mm, long_mm = 1000.0 * np.sort(np.ptp(part.mesh.vertices, axis=0))
    width, length = thick_mm * rng.uniform(*BLANK_WIDTH), long_mm * rng.uniform(*BLANK_LENGTH)
    sections = circle(width / 2, 36), circle(width / 2, 6), rectangle(width, width)
    section = sections[rng.choice(len(sections), p=(0.6, 0.2, 0.2))]
    bar = to_mesh(prism([section], length, 0.08 * min(width, length)))
    return _prepared(bar, _size_m(bar))


def _prepared(mesh: Mesh, size_m: float) -> PreparedPart:
    """A part whose convex hull collides."""
    hull = Manifold.hull_points(mesh.vertices).to_mesh()
    piece = Mesh(np.asarray(hull.vert_properties[:, :3], np.float32), np.asarray(hull.tri_verts, np.int32))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), (piece,), size_m, longest_axis(mesh))


def _size_m(mesh: Mesh) -> float:
    return float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
