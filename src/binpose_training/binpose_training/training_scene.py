"""The scenes that a model is trained on: as fine as its parts need, and full."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.scene import SceneConfig

THIN_PX = 9.0
PART_PX = 44.0
GSD_LIMITS_M = (4e-4, 2.5e-3)
# Fuller images teach more per second than the default scenes.
VIEW_PX = (512, 416)
PARTS = (8, 36)
ROW_FRACTION = 0.5
GSD_RANGE = (0.6, 1.3)
VIEWS_PER_PILE = 8
"""Settling a pile takes as long as rendering five views of it."""


def working_gsd_m(objects: Sequence[ObjectModel]) -> float:
    """Metres per pixel at which the smallest part is `PART_PX` pixels long and the thinnest `THIN_PX` wide."""
    thinnest = min(float(np.sort(np.ptp(part.mesh.vertices, axis=0))[1]) for part in objects)
    smallest = min(part.diameter_m for part in objects)
    return float(np.clip(min(thinnest / THIN_PX, smallest / PART_PX), *GSD_LIMITS_M))


def training_scene(scene: SceneConfig, gsd_m: float, types: int) -> SceneConfig:
    """The scene with many parts per image, and cameras at distances that give about the wanted metres per pixel.

    A mixed bin may hold all types: where it never does, the network learns that neighbours are mostly alike.
    """
    low, high = GSD_RANGE
    viewpoint = replace(scene.viewpoint, gsd_m=(low * gsd_m, high * gsd_m), width=VIEW_PX[0], height=VIEW_PX[1])
    fewest, most = scene.content.types
    content = replace(scene.content, parts=PARTS, row_share=ROW_FRACTION, types=(fewest, max(most, types)))
    piles = max(scene.views_per_pile, VIEWS_PER_PILE)
    return replace(scene, viewpoint=viewpoint, content=content, views_per_pile=piles)
