"""An image of a part under each of its symmetries, with the differences in red, for a visual check.

Each row shows one motion: the part before and after it, from an oblique direction, and from the direction with the
largest difference. Continuous symmetries are shown at some angles.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, log_so3
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.symmetries import Symmetries, rotations_about
from binpose_core.parts.symmetry_test import SymmetryConfig, SymmetryTest, mesh_to_test
from binpose_core.parts.view_comparison import ViewComparison
from binpose_core.rendering.orbit import Orbit, rotations_along

Image = npt.NDArray[np.uint8]

TILE_PX, LABEL_PX, GAP_PX = 260, 30, 6
TITLES = ("as it is", "after the motion", "where it differs most: as it is", "after the motion")
MOST_EXACT, MOST_NEAR = 8, 8
"""Largest number of rows of each kind; the text gives the number of omitted ones."""
ANGLES = (0.7, 2.1, 4.0)
"""Angles at which continuous symmetries are shown, in radians: no simple fractions of a turn."""
SLANT = np.array([0.45, 0.62, -0.64])
BACKGROUND, INK, EXACT_INK, NEAR_INK = (250, 250, 250), (40, 40, 40), (0, 110, 50), (180, 90, 0)
STEEL, DIFFERENT = (150, 165, 185), np.array([230, 30, 30])


@dataclass(frozen=True)
class _Row:
    """A motion (4, 4) and the text above its images."""

    motion: FloatArray
    text: str
    ink: tuple[int, int, int]


def draw_symmetries(part: ObjectModel) -> Image:
    """RGB (h, w, 3) uint8: a row of images for each exact and near symmetry of the part."""
    rows = _rows(part.symmetries)
    mesh = mesh_to_test(part.mesh)
    views = SymmetryTest(mesh, SymmetryConfig()).views
    pictures = Orbit(mesh, rotations_along(np.concatenate([_unit(SLANT)[None], views.directions])), 2 * TILE_PX)
    lines = [_label(f"{part.id}: {_summary(part.symmetries)}", INK, 4 * TILE_PX + 3 * GAP_PX)]
    if not rows:
        alone = pictures.render(np.arange(4)).shaded(STEEL)
        lines.append(_side_by_side([_smaller(_on_background(image)) for image in alone]))
    else:
        lines.append(_side_by_side([_label(title, INK, TILE_PX) for title in TITLES]))
    for row in rows:
        differing = views.differing(np.arange(len(views.directions)), row.motion)
        counts = differing.sum(axis=(1, 2))
        worst = int(counts.argmax())
        lines.append(_label(f"{row.text}: {_difference(views, worst, row.motion, differing[worst])}", row.ink,
                            4 * TILE_PX + 3 * GAP_PX))  # fmt: skip
        chosen = np.array([0, 1 + worst])
        before = pictures.render(chosen).shaded(STEEL)
        after = pictures.render(chosen, row.motion).shaded(STEEL)
        slant = np.zeros_like(differing[worst])
        marks = [slant, slant, differing[worst], differing[worst]]
        images = [before[0], after[0], before[1], after[1]]
        lines.append(_side_by_side([_marked(image, mark) for image, mark in zip(images, marks, strict=True)]))
    return np.concatenate(lines)


def _rows(symmetries: Symmetries) -> list[_Row]:
    """The displayed motions: exact ones, samples of the continuous ones, near ones."""
    exact = [_Row(motion, _motion_text(motion), EXACT_INK) for motion in symmetries.discrete[1:]]
    rows = [*_numbered(exact, "exact", MOST_EXACT)]
    for line in symmetries.continuous:
        turns = rotations_about(line.axis, line.offset, np.array(ANGLES))
        rows += [_Row(turn, f"exact, any turn about this axis, here {_motion_text(turn)}", EXACT_INK) for turn in turns]
    near = [_Row(motion, _motion_text(motion), NEAR_INK) for motion in symmetries.near]
    return rows + _numbered(near, "near", MOST_NEAR)


def _numbered(rows: list[_Row], kind: str, most: int) -> list[_Row]:
    return [
        _Row(row.motion, f"{kind} {number} of {len(rows)}, {row.text}", row.ink)
        for number, row in enumerate(rows[:most], start=1)
    ]


def _summary(symmetries: Symmetries) -> str:
    exact, continuous, near = len(symmetries.discrete) - 1, len(symmetries.continuous), len(symmetries.near)
    if not (exact or continuous or near):
        return "no symmetry; each pose is one of its kind"
    hidden = max(0, exact - MOST_EXACT) + max(0, near - MOST_NEAR)
    text = f"{exact} exact motions, {continuous} axes of revolution, {near} near-symmetries"
    return f"{text}; {hidden} of them not shown" if hidden else text


def _motion_text(motion: FloatArray) -> str:
    """A motion as text: angle, axis and a point on the axis."""
    vector = log_so3(motion[:3, :3])
    angle = float(np.linalg.norm(vector))
    if angle < 1e-6:
        return "no turn"
    axis = vector / angle
    shift = motion[:3, 3] - axis * (axis @ motion[:3, 3])
    point = 1e3 * np.linalg.lstsq(np.eye(3) - motion[:3, :3], shift, rcond=1e-6)[0] + 0.0
    nearest = int(np.abs(axis).argmax())
    if abs(axis[nearest]) > 0.9999:
        name = ("-" if axis[nearest] < 0 and angle < np.pi - 1e-3 else "") + "xyz"[nearest]
    else:
        name = f"({', '.join(f'{value:.2f}' for value in axis)})"
    where = f"({', '.join(f'{value:.1f}' for value in np.round(point, 1) + 0.0)})"
    return f"{np.rad2deg(angle):.1f} deg about {name} through {where} mm"


def _difference(views: ViewComparison, view: int, motion: FloatArray, differing: npt.NDArray[np.bool_]) -> str:
    """The measured difference: its area in the image and its depth."""
    if not differing.any():
        return "no difference"
    pixel_mm = 1e3 * views.pixel_m
    deepest_m, opening = views.deepest_m(view, motion, differing)
    depth = "through to the background" if opening else f"up to {1e3 * deepest_m:.1f} mm deep"
    return f"differs in {differing.sum()} px ({differing.sum() * pixel_mm**2:.1f} mm2), {depth}"


def _label(text: str, ink: tuple[int, int, int], width: int) -> Image:
    strip = np.full((LABEL_PX, width, 3), BACKGROUND, np.uint8)
    cv2.putText(strip, text, (8, LABEL_PX - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.48, ink, 1, cv2.LINE_AA)
    return strip


def _side_by_side(images: list[Image]) -> Image:
    gap = np.full((len(images[0]), GAP_PX, 3), BACKGROUND, np.uint8)
    return np.concatenate([images[0], *(piece for image in images[1:] for piece in (gap, image))], axis=1)


def _on_background(image: Image) -> Image:
    return np.where(image.any(axis=-1, keepdims=True), image, np.uint8(232))


def _marked(image: Image, differing: npt.NDArray[np.bool_]) -> Image:
    """The image with the differing pixels in red."""
    weight = (
        0.75 * cv2.resize(differing.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    )
    return _smaller(np.rint((1 - weight) * _on_background(image) + weight * DIFFERENT).astype(np.uint8))


def _smaller(image: Image) -> Image:
    """An image rendered at twice the size of a tile, reduced for smooth edges."""
    return np.asarray(cv2.resize(image, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / np.linalg.norm(vector)
