"""Parts made on a lathe or a hob: bolt, shaft, pulley, gear. Dimensions in millimetres."""

import numpy as np
from manifold3d import Manifold

from binpose_simulation.parts.solids import (
    Points,
    along_x,
    circle,
    cylinder,
    prism,
    rectangle,
    slot,
    turned,
)


def hex_bolt() -> Manifold:
    """M12 x 50, ISO 4014 proportions; the thread is ring grooves, as its 3 degree helix would be invisible."""
    across_flats, head, length, pitch = 18.0, 7.5, 50.0, 1.75
    hexagon = prism([circle(across_flats / np.sqrt(3.0), 6)], head)
    cone = turned([(0, 0), (12, 0), (12, head - 2.0), (8.6, head), (0, head)]).rotate((0, 0, 3.75))
    washer_face = cylinder(8.3, 0.6).translate((0, 0, -0.6))
    crests = [(6.0, -20.0)]
    for turn in range(int((length - 23.0) / pitch)):
        z = -20.0 - pitch * turn
        crests += [(5.15, z - pitch / 2.0), (6.0, z - pitch)]
    shank = turned([(0, 0), (6.6, 0), (6.0, -1.0), *crests, (5.9, -length + 1.5), (4.8, -length), (0, -length)], 32)
    return (hexagon ^ cone) + washer_face + shank


def stepped_shaft() -> Manifold:
    """A drive shaft with bearing seats, a collar, a circlip groove, a keyway and centre holes."""
    seats = [(5.0, 0, 18), (8.0, 18, 44), (11.0, 44, 50), (8.0, 50, 66), (6.0, 66, 92)]
    profile = [(0.0, 0.0)]
    for radius, start, end in seats:
        profile += [(radius - 0.6, start), (radius, start + 0.6), (radius, end - 0.6), (radius - 0.6, end)]
    shaft = turned([*profile, (0.0, 92.0)])
    groove = cylinder(9.0, 1.4) - cylinder(7.2, 1.4)
    keyway = along_x(prism([slot(18.0, 5.0)], 6.0)).translate((5.0, 0, 31.0))
    centre = turned([(0, -0.1), (2.6, -0.1), (0.8, 3.0), (0.8, 5.0), (0, 5.5)], 24)
    flat = prism([rectangle(6.0, 20.0, center=(7.5, 0.0))], 12.0).translate((0, 0, 78.0))
    far_centre = centre.mirror((0, 0, 1)).translate((0, 0, 92.0))
    return shaft - groove.translate((0, 0, 62.0)) - keyway - centre - far_centre - flat


def v_pulley() -> Manifold:
    """A V-belt pulley with a recessed web, a hub to one side and a set screw hole across the hub."""
    groove = [(30, 2.2), (22.5, 5.3), (22.5, 9.7), (30, 12.8)]
    rim = [(23.5, 0), (29.4, 0), (30, 0.6), *groove, (30, 14.4), (29.4, 15), (23.5, 15)]
    hub = [(21.5, 11), (13, 11), (13, 26), (12, 27), (7, 27), (6, 26)]
    pulley = turned([*rim, *hub, (6, 1), (7, 0), (12, 0), (13, 0.8), (13, 4), (21.5, 4)], 64)
    screw = along_x(cylinder(2.5, 20.0, segments=24)).translate((0, 0, 20.5))
    keyway = prism([rectangle(4.0, 4.0, center=(0.0, 6.2))], 40.0).translate((0, 0, -5.0))
    return pulley - screw - keyway


def spur_gear() -> Manifold:
    """Module 2, 22 teeth, 20 degrees pressure angle, hub on one side, keyed bore."""
    teeth = prism([involute_gear(2.0, 22)], 13.0, 0.5)
    hub = cylinder(12.0, 22.0, 0.8)
    bore = turned([(0, -1), (6, -1), (6, 0), (5, 1), (5, 21), (6, 22), (6, 23), (0, 23)], 40)
    keyway = prism([rectangle(3.0, 4.0, center=(0.0, 5.0))], 30.0).translate((0, 0, -3.0))
    recess = turned([(12.0, 10.5), (17.0, 10.5), (18.0, 14.0), (12.0, 14.0)])
    return teeth + hub - (recess - cylinder(12.0, 22.0)) - bore - keyway


def involute_gear(module: float, count: int, pressure_rad: float = np.radians(20.0)) -> Points:
    """Contour (count * 14, 2) of a spur gear with involute flanks (ISO 53 proportions)."""
    pitch_radius = module * count / 2.0
    base, tip, root = pitch_radius * np.cos(pressure_rad), pitch_radius + module, pitch_radius - 1.25 * module
    radii = np.linspace(base, tip, 6)
    roll = np.arccos(base / radii)
    involute = np.tan(roll) - roll
    half_tooth = np.pi / (2.0 * count) + np.tan(pressure_rad) - pressure_rad
    flank = half_tooth - involute
    radius = np.concatenate([[root], radii, radii[::-1], [root]])
    angle = np.concatenate([[-half_tooth - 0.02], -flank, flank[::-1], [half_tooth + 0.02]])
    every = angle[None] + (2.0 * np.pi * np.arange(count) / count)[:, None]
    return np.stack([radius * np.cos(every), radius * np.sin(every)], -1).reshape(-1, 2)
