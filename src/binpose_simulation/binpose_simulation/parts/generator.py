"""Any number of different machine parts: families of solids with random dimensions and features."""

from collections.abc import Callable

import numpy as np
from manifold3d import Manifold

from binpose_core.meshes.mesh import Mesh
from binpose_simulation.parts.solids import (
    along_x,
    along_y,
    block,
    circle,
    cylinder,
    prism,
    rectangle,
    slot,
    swept_circle,
    to_mesh,
    turned,
    union,
)
from binpose_simulation.parts.turned_parts import involute_gear

Rng = np.random.Generator


def generated_part(number: int) -> Mesh:
    """The part of this number in metres, 35 to 120 mm long, its bounding box centred at the origin; watertight.

    Consecutive numbers take turns among the families. The same number always gives the same part.
    """
    rng = np.random.default_rng([0x9A27, number])
    return to_mesh(FAMILIES[number % len(FAMILIES)](rng))


def _shaft(rng: Rng) -> Manifold:
    """Three to five steps, a keyway, and a flat at one end."""
    profile, z = [(0.0, 0.0)], 0.0
    for _ in range(rng.integers(3, 6)):
        radius, length = rng.uniform(4.0, 12.0), rng.uniform(8.0, 24.0)
        profile += [(radius - 0.5, z), (radius, z + 0.5), (radius, z + length - 0.5), (radius - 0.5, z + length)]
        z += length
    shaft = turned([*profile, (0.0, z)])
    radius, end = profile[2][0], profile[3][1]
    keyway = along_x(prism([slot(max(0.7 * end, 4.0), 0.5 * radius)], 20.0)).translate((0.65 * radius, 0, 0.5 * end))
    last = profile[-2][0]
    flat = prism([rectangle(2.0 * last, 4.0 * last, center=(1.6 * last, 0.0))], 9.0).translate((0, 0, z - 8.0))
    return shaft - keyway - flat


def _flange(rng: Rng) -> Manifold:
    """A disc with a hub and holes on a circle, one of them larger."""
    radius, thick, hub = rng.uniform(20.0, 38.0), rng.uniform(4.0, 9.0), rng.uniform(8.0, 13.0)
    height, holes = rng.uniform(12.0, 30.0), int(rng.integers(3, 7))
    body = cylinder(radius, thick, 0.8) + cylinder(hub, height, 0.8)
    at = 0.5 * (radius + hub)
    size = 0.28 * (radius - hub)
    angles = 2.0 * np.pi * np.arange(holes) / holes
    drills = [
        cylinder(size * (1.4 if i == 0 else 1.0), 40.0, segments=24).translate((at * np.cos(a), at * np.sin(a), -5.0))
        for i, a in enumerate(angles)
    ]
    return body - union(drills) - cylinder(0.55 * hub, 80.0).translate((0, 0, -5.0))


def _bracket(rng: Rng) -> Manifold:
    """Two legs at a right angle, with a rib to one side and different holes in the legs."""
    width, long_leg, short_leg = rng.uniform(24.0, 46.0), rng.uniform(45.0, 80.0), rng.uniform(28.0, 44.0)
    thick = rng.uniform(3.0, 6.0)
    base = block((long_leg, width, thick), 0.4, 3.0).translate((0.5 * long_leg, 0, 0))
    wall = block((thick, width, short_leg), 0.4).translate((0.5 * thick, 0, 0))
    rib_at = rng.uniform(-0.3, 0.3) * width
    triangle = np.array([[0.0, 0.0], [0.55 * long_leg, 0.0], [0.0, -0.75 * short_leg]])
    rib = along_y(prism([triangle[::-1]], thick)).translate((0.5 * thick, rib_at - 0.5 * thick, 0.5 * thick))
    drill = cylinder(rng.uniform(2.5, 0.12 * width + 1.0), 40.0, segments=28)
    holes = [drill.translate((rng.uniform(0.6, 0.8) * long_leg, side * 0.26 * width, -5.0)) for side in (-1.0, 1.0)]
    opening = along_x(prism([slot(0.4 * width, 5.0)], 30.0)).translate((-5.0, -0.2 * width, 0.72 * short_leg))
    return base + wall + rib - union(holes[: int(rng.integers(1, 3))]) - opening


def _housing(rng: Rng) -> Manifold:
    """A block with a bore, a pocket, and a boss off its middle."""
    x, y, z = rng.uniform(36.0, 70.0), rng.uniform(26.0, 42.0), rng.uniform(18.0, 34.0)
    body = block((x, y, z), 0.8, 3.0)
    bore = along_y(cylinder(rng.uniform(0.2, 0.32) * z, 2.0 * y)).translate((rng.uniform(-0.2, 0.2) * x, -y, 0.5 * z))
    pocket = block((0.45 * x, 0.55 * y, z)).translate((rng.uniform(-0.2, 0.2) * x, 0.12 * y, 0.72 * z))
    boss = cylinder(rng.uniform(3.5, 6.0), z + rng.uniform(4.0, 10.0), 0.6).translate((0.38 * x, -0.32 * y, 0))
    return body - bore - pocket + boss


def _fitting(rng: Rng) -> Manifold:
    """A pipe with collars and a branch at a random place and angle."""
    radius, run = rng.uniform(7.0, 11.0), rng.uniform(55.0, 90.0)
    branch, at = rng.uniform(24.0, 42.0), rng.uniform(0.3, 0.6) * run
    tilt = float(rng.choice([45.0, 60.0, 90.0]))
    collar = cylinder(1.3 * radius, 14.0, 0.8)
    pipe = cylinder(radius, run) + collar + collar.translate((0, 0, run - 14.0))
    side = (cylinder(0.9 * radius, branch) + cylinder(1.15 * radius, 9.0, 0.8).translate((0, 0, branch - 9.0))).rotate(
        (0.0, tilt, 0.0)
    )
    bores = cylinder(0.7 * radius, run + 4.0).translate((0, 0, -2.0))
    inside = cylinder(0.65 * radius, branch + 2.0).rotate((0.0, tilt, 0.0)).translate((0, 0, at))
    return pipe + side.translate((0, 0, at)) - bores - inside


def _lever(rng: Rng) -> Manifold:
    """A bent round bar with a knob at one end and an eye at the other."""
    radius, rise = rng.uniform(3.5, 6.0), rng.uniform(18.0, 40.0)
    reach, bend = rng.uniform(45.0, 80.0), rng.uniform(9.0, 15.0)
    angle = np.linspace(0.0, 0.5 * np.pi, 9)
    arc = np.stack([bend - bend * np.cos(angle), 0 * angle, rise - bend + bend * np.sin(angle)], -1)
    path = np.concatenate([[[0.0, 0.0, 0.0]], arc, [[reach, 0.0, rise]]])
    eye = along_y(cylinder(2.0 * radius, 1.6 * radius, 0.5)).translate((0, -0.8 * radius, 0))
    hole = along_y(cylinder(radius, 4.0 * radius)).translate((0, -2.0 * radius, 0))
    knob = Manifold.sphere(rng.uniform(1.6, 2.2) * radius, 36).translate((reach, 0, rise))
    return swept_circle(path, radius) + eye + knob - hole


def _gear(rng: Rng) -> Manifold:
    """Spur gears of different sizes with a hub to one side, a keyed bore and a mark in the web."""
    teeth, module = int(rng.integers(18, 27)), float(rng.choice([1.75, 2.0, 2.5]))
    width, pitch = rng.uniform(8.0, 16.0), 0.5 * module * teeth
    hub, bore = 0.5 * pitch, 0.26 * pitch
    body = prism([involute_gear(module, teeth)], width, 0.3) + cylinder(hub, width + rng.uniform(4.0, 12.0), 0.6)
    keyway = prism([rectangle(0.6 * bore, bore, center=(0.0, bore))], 60.0).translate((0, 0, -5.0))
    mark = cylinder(0.14 * pitch, 60.0, segments=24).translate((0.68 * pitch, 0, -5.0))
    return body - cylinder(bore, 60.0).translate((0, 0, -5.0)) - keyway - mark


def _clip(rng: Rng) -> Manifold:
    """A U of sheet with legs of different length, a window and a lip."""
    width, span, thick = rng.uniform(14.0, 28.0), rng.uniform(26.0, 48.0), rng.uniform(2.5, 4.5)
    first, second = rng.uniform(22.0, 44.0), rng.uniform(14.0, 34.0)
    floor = block((span, width, thick), 0.3)
    legs = [
        block((thick, width, height), 0.3).translate((sign * 0.5 * (span - thick), 0, 0))
        for sign, height in ((-1.0, first), (1.0, second))
    ]
    lip = block((10.0, width, thick), 0.3).translate((0.5 * span + 4.0, 0, second - thick))
    window = prism([rectangle(0.4 * span, 0.5 * width, 1.5)], 20.0).translate((0, 0, -5.0))
    hole = along_x(prism([circle(0.18 * width, 28)], 30.0)).translate((-0.5 * span - 5.0, 0.15 * width, 0.7 * first))
    return floor + union(legs) + lip - window - hole


FAMILIES: tuple[Callable[[Rng], Manifold], ...] = (
    _shaft, _flange, _bracket, _housing, _fitting, _lever, _gear, _clip
)  # fmt: skip
