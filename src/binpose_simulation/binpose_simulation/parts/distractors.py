"""Random clutter: rods, tubes, plates, profiles, boxes, washers."""

from collections.abc import Callable

import numpy as np
from manifold3d import Manifold

from binpose_core.meshes.mesh import Mesh
from binpose_simulation.parts.solids import (
    Points,
    along_y,
    block,
    circle,
    cylinder,
    prism,
    rectangle,
    slot,
    to_mesh,
    turned,
    union,
)

Rng = np.random.Generator


def make_distractor(rng: np.random.Generator) -> Mesh:
    """A random watertight mesh in metres, 10 to 200 mm long, with its bounding box centred at the origin."""
    makers: tuple[Callable[[Rng], Manifold], ...] = (
        _rod, _stepped_rod, _tube, _plate, _box, _washer, _angle_profile, _cable_gland
    )  # fmt: skip
    return to_mesh(makers[rng.integers(len(makers))](rng))


def _rod(rng: Rng) -> Manifold:
    """Round or hexagonal bar stock, partly longer than any part of the library."""
    radius, length = rng.uniform(2.0, 8.0), rng.uniform(60.0, 200.0)
    if rng.random() < 0.3:
        return prism([circle(radius, 6)], length, 0.15 * radius)
    return cylinder(radius, length, 0.15 * radius, 32)


def _stepped_rod(rng: Rng) -> Manifold:
    """Pins and axles: two to five cylinders on one axis."""
    profile, z = [(0.0, 0.0)], 0.0
    for _ in range(rng.integers(2, 6)):
        radius, length = rng.uniform(2.0, 9.0), rng.uniform(3.0, 40.0)
        profile += [(radius, z), (radius, z + length)]
        z += length
    return turned([*profile, (0.0, z)], 36)


def _tube(rng: Rng) -> Manifold:
    radius, length = rng.uniform(4.0, 16.0), rng.uniform(10.0, 140.0)
    bore = radius * rng.uniform(0.4, 0.9)
    return prism([circle(radius, 40), circle(bore, 40)], length, min(0.3, 0.3 * (radius - bore)))


def _plate(rng: Rng) -> Manifold:
    """Sheet with a regular pattern of round holes or slots, whose rims resemble rings and whose webs resemble rods."""
    pitch, columns, rows = rng.uniform(8.0, 20.0), int(rng.integers(2, 6)), int(rng.integers(1, 5))
    x, y = (np.arange(n) * pitch - (n - 1) * pitch / 2.0 for n in (columns, rows))
    grid = [(float(a), float(b)) for a in x for b in y]
    hole = rng.uniform(0.2, 0.4) * pitch
    slotted = rng.random() < 0.3
    holes: list[Points] = [slot(2.0 * hole, hole, at) if slotted else circle(hole, 24, at) for at in grid]
    outline = rectangle(columns * pitch + 4.0, rows * pitch + 4.0, rng.uniform(0.5, 3.0))
    return prism([outline, *holes], rng.uniform(1.0, 6.0), 0.15)


def _box(rng: Rng) -> Manifold:
    """A block, a hollow cap or the end of a cable duct."""
    x, y, z = rng.uniform(15.0, 70.0, 3)
    radius, wall = rng.uniform(1.6, 4.0), rng.uniform(1.0, 3.0)
    # The cavity's sharp corners must stay inside the rounded outside: at 45 degrees 0.3 of the radius is lost.
    radius = min(radius, 2.0 * wall)
    if rng.random() < 0.5:
        return block((x, y, z), rng.uniform(0.2, 1.5), radius)
    return block((x, y, z), 0.3 * wall, radius) - block((x - 2 * wall, y - 2 * wall, z)).translate((0, 0, wall))


def _washer(rng: Rng) -> Manifold:
    """A washer or spacer ring."""
    radius = rng.uniform(7.0, 30.0)
    height, bore = rng.uniform(1.0, 12.0), radius * rng.uniform(0.3, 0.75)
    return prism([circle(radius, 48), circle(bore, 48)], height, 0.12 * min(height, radius - bore))


def _angle_profile(rng: Rng) -> Manifold:
    """A length of L or U profile with holes in its web."""
    width, height, thick = rng.uniform(10.0, 30.0), rng.uniform(8.0, 30.0), rng.uniform(1.2, 3.5)
    length, count = rng.uniform(20.0, 150.0), int(rng.integers(0, 4))
    half, inner = width / 2.0, width / 2.0 - thick
    end = [(half, height), (inner, height), (inner, thick)] if rng.random() < 0.5 else [(half, thick)]
    section = [(-half, 0.0), (half, 0.0), *end, (-inner, thick), (-inner, height), (-half, height)]
    profile = along_y(prism([np.array(section) * [1.0, -1.0]], length)).translate((0, -length / 2.0, 0))
    radius = min(0.18 * width, 0.3 * length / max(count, 1))
    holes = [cylinder(radius, 9.0, segments=24).translate((0, y, -1.0)) for y in _spread(count, length)]
    return profile - union(holes) if holes else profile


def _spread(count: int, length: float) -> list[float]:
    return [(k + 0.5) / count * length - length / 2.0 for k in range(count)]


def _cable_gland(rng: Rng) -> Manifold:
    """A hexagon between two collars with a bore, similar to a nut."""
    radius, height = rng.uniform(6.0, 16.0), rng.uniform(5.0, 14.0)
    collar = cylinder(radius * rng.uniform(0.6, 0.84), height * rng.uniform(1.2, 3.5), 0.4, 36)
    cross = along_y(cylinder(radius * 0.15, 4.0 * radius, segments=16)).translate((0, -2.0 * radius, height * 0.5))
    bore = cylinder(radius * rng.uniform(0.3, 0.5), 100.0, segments=32).translate((0, 0, -1.0))
    return prism([circle(radius, 6)], height, 0.08 * radius) + collar - bore - cross
