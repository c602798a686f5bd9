"""Random materials: metals, plastics, paints, rubber, and what is printed or worn on them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting

# Columns of a material's row, read by `binpose_simulation.shading`.
RED, GREEN, BLUE, METALLIC, ROUGHNESS, ANISOTROPY, F0, GRAIN, GRAIN_PER_M, MOTTLE, MOTTLE_PER_M, MIRROR = range(12)
COLUMNS = 12
# Columns of a body's row.
ZONE, ZONE_LIMIT_M, AXIS, CENTER, LABEL, LABEL_U, LABEL_V, LABEL_HALF_U, LABEL_HALF_V, LABEL_CELL, RIB_PITCH, RIB = (
    0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15,
)  # fmt: skip
BODY_COLUMNS = 16
NO_ZONE, AXIAL, RADIAL = 0, 1, 2

METALS = {
    "steel": (0.56, 0.55, 0.53),
    "stainless": (0.66, 0.65, 0.63),
    "aluminium": (0.88, 0.89, 0.90),
    "nickel": (0.66, 0.61, 0.53),
    "zinc": (0.66, 0.68, 0.72),
    "chromate": (0.70, 0.62, 0.42),
    "brass": (0.86, 0.68, 0.34),
    "copper": (0.88, 0.56, 0.42),
    "black oxide": (0.09, 0.09, 0.10),
}
METAL_WEIGHTS = np.array([5, 4, 5, 2, 3, 1, 1.5, 0.7, 1.5])
BIN_COLORS = {
    "blue": (0.01, 0.13, 0.75),
    "gray": (0.25, 0.26, 0.28),
    "black": (0.02, 0.02, 0.022),
    "white": (0.75, 0.75, 0.73),
    "red": (0.6, 0.03, 0.03),
    "green": (0.03, 0.3, 0.08),
    "yellow": (0.8, 0.55, 0.04),
    "any": (0.0, 0.0, 0.0),
}
BIN_WEIGHTS = np.array([7, 3, 2, 2, 1.2, 1.2, 1, 2])


@dataclass(frozen=True)
class MaterialConfig:
    """Shares of materials.

    metal_share: parts of bare metal. painted_share, rubber_share: others; the rest is plastic or anodised.
    two_tone_share: parts of two materials. label_share: bodies with something printed on them.
    """

    metal_share: float = setting(0.55, bounds=FRACTION)
    painted_share: float = setting(0.15, bounds=FRACTION)
    rubber_share: float = setting(0.06, bounds=FRACTION)
    two_tone_share: float = setting(0.3, bounds=FRACTION)
    label_share: float = setting(0.12, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        together = self.metal_share + self.painted_share + self.rubber_share
        if together > 1.0:
            raise BinposeError(f"metal_share + painted_share + rubber_share is {together:g}; expected at most 1.")


def hsv(hue: float, saturation: float, value: float) -> npt.NDArray[np.float64]:
    """(3,) RGB of hue, saturation, value in [0, 1]."""
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def _row(rgb: npt.NDArray[np.float64], **values: float) -> npt.NDArray[np.float32]:
    row = np.zeros(COLUMNS, np.float32)
    row[:3] = np.clip(rgb, 0.003, 0.97)
    row[[ROUGHNESS, F0]] = 0.4, 0.045
    for name, value in values.items():
        row[globals()[name]] = value
    return row


def random_metal(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A polished, turned, brushed, blasted or cast metal."""
    name = rng.choice(list(METALS), p=METAL_WEIGHTS / METAL_WEIGHTS.sum())
    rgb = np.array(METALS[str(name)]) * rng.uniform(0.75, 1.1) + rng.normal(size=3) * 0.015
    finish = rng.choice(["polished", "turned", "blasted", "cast"], p=[0.3, 0.4, 0.2, 0.1])
    # Real metals scatter a little in all directions, or scanners would see nothing of them: METALLIC below 1.
    if finish == "polished":
        return _row(
            rgb, METALLIC=rng.uniform(0.88, 1), ROUGHNESS=rng.uniform(0.06, 0.2),
            GRAIN=rng.uniform(0, 0.15), GRAIN_PER_M=3000,
        )  # fmt: skip
    if finish == "turned":
        return _row(
            rgb, METALLIC=rng.uniform(0.75, 0.97), ROUGHNESS=rng.uniform(0.15, 0.4), ANISOTROPY=rng.uniform(0.4, 0.95),
            GRAIN=rng.uniform(0.1, 0.7), GRAIN_PER_M=np.exp(rng.uniform(np.log(600), np.log(6000))),
        )  # fmt: skip
    rough = rng.uniform(0.3, 0.5) if finish == "blasted" else rng.uniform(0.4, 0.65)
    mottle = rng.uniform(0.02, 0.15) if finish == "blasted" else rng.uniform(0.1, 0.35)
    fineness = rng.uniform(200, 2000)
    return _row(rgb * 0.9, METALLIC=rng.uniform(0.6, 0.95), ROUGHNESS=rough, MOTTLE=mottle, MOTTLE_PER_M=fineness)


def random_part_material(rng: np.random.Generator, config: MaterialConfig) -> npt.NDArray[np.float32]:
    """(COLUMNS,) float32, the material of a type of part."""
    kind = rng.random()
    if kind < config.metal_share:
        return random_metal(rng)
    if kind < config.metal_share + config.rubber_share:
        return _row(np.full(3, rng.uniform(0.01, 0.06)), ROUGHNESS=rng.uniform(0.5, 0.9))
    value = rng.uniform(0.02, 0.95) ** 1.3
    rgb = hsv(rng.random(), rng.random() * (rng.random() < 0.65), value)
    if kind < config.metal_share + config.rubber_share + config.painted_share:
        return _row(rgb, ROUGHNESS=rng.uniform(0.1, 0.6), F0=0.05, MOTTLE=rng.uniform(0, 0.1), MOTTLE_PER_M=500)
    if rng.random() < 0.15:  # anodised: coloured, yet a metal
        return _row(hsv(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.8)), METALLIC=1, ROUGHNESS=0.35)
    return _row(rgb, ROUGHNESS=rng.uniform(0.15, 0.7), MOTTLE=rng.uniform(0, 0.08), MOTTLE_PER_M=rng.uniform(100, 1000))


def random_bin_material(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(COLUMNS,) float32: moulded plastic, glossy enough to mirror its content; sometimes sheet metal or cardboard."""
    kind = rng.random()
    if kind < 0.06:
        steel = np.array(METALS["steel"]) * 0.9
        return _row(steel, METALLIC=1, ROUGHNESS=rng.uniform(0.25, 0.5), MOTTLE=0.1, MOTTLE_PER_M=80)
    if kind < 0.12:
        return _row(np.array([0.45, 0.3, 0.17]), ROUGHNESS=0.9, MOTTLE=0.15, MOTTLE_PER_M=300)
    name = str(rng.choice(list(BIN_COLORS), p=BIN_WEIGHTS / BIN_WEIGHTS.sum()))
    rgb = hsv(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.1, 0.8)) if name == "any" else np.array(BIN_COLORS[name])
    rgb = rgb * rng.uniform(0.6, 1.3) + rng.uniform(0, 0.04)
    rough = rng.uniform(0.08, 0.45)
    return _row(rgb, ROUGHNESS=rough, F0=rng.uniform(0.04, 0.09), MIRROR=_gloss(rng) * max(0.0, 1 - 2 * rough),
                MOTTLE=rng.uniform(0, 0.06), MOTTLE_PER_M=rng.uniform(20, 300))  # fmt: skip


def _gloss(rng: np.random.Generator) -> float:
    """How many times as much as by its refraction a bin mirrors: seldom up to ten times, where light falls flat."""
    share = rng.random()
    return float(3.0 * share / (1.3 - share))


def random_table_material(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(COLUMNS,) float32: bare or black metal, wood, paper, plastic."""
    kind = rng.random()
    if kind < 0.3:
        return _row(np.full(3, rng.uniform(0.01, 0.05)), ROUGHNESS=rng.uniform(0.2, 0.6), MOTTLE=0.1, MOTTLE_PER_M=100)
    if kind < 0.5:
        return _row(np.array(METALS["aluminium"]) * 0.8, METALLIC=1, ROUGHNESS=rng.uniform(0.3, 0.5), MOTTLE=0.1,
                    MOTTLE_PER_M=100)  # fmt: skip
    rgb = hsv(rng.random(), rng.random() * 0.5, rng.uniform(0.05, 0.9))
    return _row(rgb, ROUGHNESS=rng.uniform(0.2, 0.9), MOTTLE=rng.uniform(0, 0.2), MOTTLE_PER_M=rng.uniform(10, 300))


def varied(rng: np.random.Generator, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Another piece of the same material: a little brighter, rougher or dirtier."""
    row = row.copy()
    row[:3] = np.clip(row[:3] * rng.normal(1, 0.05) + rng.normal(size=3) * 0.008, 0.003, 0.97)
    row[ROUGHNESS] = np.clip(row[ROUGHNESS] * np.exp(rng.normal() * 0.12), 0.05, 1)
    return row


def random_zone(rng: np.random.Generator, share: float, size_m: float) -> tuple[int, float]:
    """How a second material divides a part: kind and limit in metres along or around its axis."""
    if rng.random() >= share:
        return NO_ZONE, 0.0
    if rng.random() < 0.5:
        return AXIAL, float(rng.uniform(-0.35, 0.35) * size_m)
    return RADIAL, float(rng.uniform(0.08, 0.4) * size_m)
