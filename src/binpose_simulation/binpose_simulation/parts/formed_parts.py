"""Parts that are bent, cast or moulded: pipe, bracket, connector, handle, hinge, bearing block. Millimetres."""

import numpy as np
from manifold3d import Manifold

from binpose_simulation.parts.solids import (
    Points,
    along_x,
    along_y,
    block,
    cylinder,
    prism,
    rectangle,
    slot,
    swept_circle,
    turned,
    union,
)


def t_pipe() -> Manifold:
    """A T-fitting: three sockets with collars and bores; symmetric under half a turn about the branch."""
    run, branch = 74.0, 36.0
    body = cylinder(10.0, run).translate((0, 0, -run / 2.0))
    collar = cylinder(13.5, 17.0, 1.2)
    ends = [collar.translate((0, 0, -run / 2.0)), collar.translate((0, 0, run / 2.0 - 17.0))]
    outside = along_x(union([body, *ends])) + along_y(cylinder(10.0, branch) + collar.translate((0, 0, branch - 17.0)))
    outside = outside + Manifold.sphere(11.6, 48)
    bore = along_x(cylinder(7.5, run).translate((0, 0, -run / 2.0))) + along_y(cylinder(7.5, branch))
    socket = turned([(0, 0), (10.3, 0), (10.3, 13), (11.5, 15), (0, 15)])
    sockets = [
        along_y(socket).translate((0, branch - 14.0, 0)),
        along_x(socket).translate((run / 2.0 - 14.0, 0, 0)),
        along_x(socket).mirror((1, 0, 0)).translate((14.0 - run / 2.0, 0, 0)),
    ]
    return outside - bore - union(sockets)


def l_bracket() -> Manifold:
    """A bent steel angle with a rib, two countersunk holes in the long leg, a slot and a hole in the short one."""
    long_leg, short_leg, width, thick = 66.0, 42.0, 44.0, 4.0
    sheet = along_y(prism([_angle_section(long_leg, short_leg, thick)], width, 0.5)).translate((0, -width / 2.0, 0))
    plan = block((2.0 * long_leg, width, 200.0), radius=8.0).translate((0, 0, -100.0))
    front = along_x(block((2.0 * short_leg, width, 400.0), radius=8.0)).translate((-200.0, 0, 0))
    rib = along_y(prism([np.array([[3.0, -3.0], [3.0, -26.0], [26.0, -3.0]])], 4.0)).translate((0, -2.0, 0))
    countersunk = turned([(0, -1), (3.3, -1), (3.3, 1.4), (6.2, 4.1), (6.2, 9), (0, 9)], 32)
    holes = [countersunk.translate((38.0, -12.0, 0)), countersunk.translate((54.0, 12.0, 0))]
    opening = along_x(prism([slot(7.0, 5.0)], 20.0)).translate((-5.0, -12.0, 28.0))
    round_hole = along_x(cylinder(4.2, 20.0, segments=32)).translate((-5.0, 11.0, 28.0))
    return ((sheet ^ plan ^ front) + rib) - union(holes) - opening - round_hole


def _angle_section(long_leg: float, short_leg: float, thick: float) -> Points:
    """Section of a bent sheet in (x, -z): outside radius two thicknesses, inside one."""
    angle = np.linspace(np.pi, 1.5 * np.pi, 7)
    arc = np.stack([np.cos(angle), np.sin(angle)], -1)
    outer, inner = arc * 2 * thick + 2 * thick, arc[::-1] * thick + 2 * thick
    corners = [[long_leg, 0.0], [long_leg, thick], *inner.tolist(), [thick, short_leg], [0.0, short_leg]]
    section = np.array([*outer.tolist(), *corners])
    return np.stack([section[:, 0], -section[:, 1]], -1)


def connector() -> Manifold:
    """A moulded 2 x 6 pin header shell: pins inside, an off-centre key, a latch on top, holes for wires behind."""
    shell = block((40.0, 22.0, 24.0), 0.6, 2.0)
    cavity = block((35.0, 17.0, 20.0), radius=1.0).translate((0, 0, 9.0))
    flange = block((48.0, 22.0, 4.0), 0.5, 3.0).translate((0, 0, 6.0))
    ears = union([cylinder(1.6, 20.0, segments=24).translate((x, 0, 0)) for x in (-21.9, 21.9)])
    key = block((5.0, 3.0, 17.0), 0.4).translate((-9.0, -12.0, 7.0))
    latch = prism([np.array([[0, 0], [3.2, 3.0], [3.2, 5.0], [0, 10.0]], dtype=float)], 9.0)
    latch = latch.rotate((90.0, 0, 0)).rotate((0, 0, 90.0)).translate((-1.0, 10.9, 12.0))
    pitch = 5.2
    grid = [((col - 2.5) * pitch, (row - 0.5) * 7.0) for col in range(6) for row in range(2)]
    pins = union([block((1.4, 1.4, 14.0), 0.3).translate((x, y, 8.0)) for x, y in grid])
    wires = union([cylinder(1.5, 5.0, segments=16).translate((x, y, -1.0)) for x, y in grid])
    return shell + flange + key + latch - cavity - ears - wires + pins


def bow_handle() -> Manifold:
    """A round bow between two feet with blind screw holes."""
    span, rise, bend, radius = 92.0, 38.0, 16.0, 5.5
    angle = np.linspace(0.0, np.pi / 2.0, 9)
    left = np.stack([-span / 2 + bend - bend * np.cos(angle), 0 * angle, rise - bend + bend * np.sin(angle)], -1)
    right = (left * [-1.0, 1.0, 1.0])[::-1]
    ends = np.array([[span / 2.0, 0.0, 0.0]])
    bow = swept_circle(np.concatenate([ends * [-1, 1, 1], left, right, ends]), radius)
    foot = turned([(0, 0), (8.2, 0), (9, 0.8), (9, 3), (7, 5), (5.2, 8), (0, 8)], 40)
    hole = turned([(0, -1), (3.2, -1), (3.2, 0), (2.5, 0.8), (2.5, 12), (0, 13.5)], 24)
    feet, holes = [union([part.translate((x, 0, 0)) for x in (-span / 2, span / 2)]) for part in (foot, hole)]
    return bow + feet - holes


def hinge_leaf() -> Manifold:
    """One leaf of a butt hinge: three of five knuckles, four countersunk holes in a zigzag."""
    length, width, thick, barrel = 75.0, 34.0, 3.0, 5.2
    plate = block((length, width, thick), 0.3, 4.0).translate((0, width / 2.0 + 2.0, 0))
    step = length / 5.0
    knuckle = along_x(cylinder(barrel, step - 0.8, 0.4, 40))
    root = block((step - 2.0, 9.0, thick - 0.2)).translate(((step - 0.8) / 2.0, 3.0, 0.1))
    axis = (0.0, 0.0, barrel - 0.2)  # a little below the plate: no coincident faces
    knuckles = union([(knuckle.translate(axis) + root).translate((k * step - length / 2, 0, 0)) for k in (0, 2, 4)])
    gaps = [block((step, 14.0, 12.0)).translate((x, 0, -1.0)) for x in (-step, step)]
    pin = along_x(cylinder(2.6, 2.0 * length, segments=32)).translate((-length, 0, barrel - 0.2))
    countersunk = turned([(0, -1), (2.3, -1), (2.3, 0.8), (4.4, 3.01), (4.4, 6), (0, 6)], 32)
    spots = [(-29.0, 18.0), (-11.0, 29.0), (11.0, 18.0), (29.0, 29.0)]
    return (plate - union(gaps)) + knuckles - pin - union([countersunk.translate((x, y, 0)) for x, y in spots])


def pillow_block() -> Manifold:
    """A bearing housing: slotted foot, ring with a bearing insert, an off-centre grease nipple."""
    base = prism([rectangle(88.0, 24.0, 6.0)], 10.0, 0.8)
    slots = union([prism([slot(13.0, 8.0, (x, 0.0))], 30.0).translate((0, 0, -5.0)) for x in (-33.0, 33.0)])
    height, outer, width = 27.0, 22.0, 20.0
    web = along_y(prism([_web(height, outer)], width, 0.8)).translate((0, -width / 2.0, 0))
    ring = along_y(cylinder(outer, 24.0, 1.0, 64)).translate((0, -12.0, height))
    seat = [(0, -20), (18, -20), (18, -9), (14.5, -9), (14.5, -7.5), (12, -7.5), (12, -14), (10, -15), (10, 15)]
    seat += [(12, 14), (12, 7.5), (14.5, 7.5), (14.5, 9), (18, 9), (18, 20), (0, 20)]
    bore = along_y(turned(seat)).translate((0, 0, height))
    nipple = turned([(0, 0), (3.4, 0), (3.4, 3), (2.0, 3.6), (2.0, 5.5), (2.6, 6.2), (1.5, 7.8), (0, 7.8)], 24)
    nipple = nipple.translate((0, 0, outer - 1.0)).rotate((0, 32.0, 0)).translate((0, 4.0, height))
    return base + web + ring + nipple - slots - bore


def _web(height: float, outer: float) -> Points:
    """Section of the block between foot and ring in (x, -z)."""
    return np.array([[-30.0, -2.0], [-outer, -height], [outer, -height], [30.0, -2.0]])
