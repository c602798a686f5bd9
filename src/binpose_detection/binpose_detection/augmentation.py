"""Making more of a labelled view: pasted parts, other colours, missing senses."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView

EXPLAINED_VISIBLE = 0.4
"""Least visible fraction of parts that are erased as explained."""
EXPLAINED_FRACTION = (0.3, 1.0)
"""Range of the fraction of those parts that are erased in one view."""


@dataclass(frozen=True)
class AugmentationConfig:
    """Shares of views in [0, 1].

    paste: with up to `max_pasted` parts of another view pasted in. no_depth, no_color: with the sense missing, so that
    the network learns to do with the other. mono: grey images. gsd_jitter: factor range of the ground sample distance.
    explained: of the views without pasted parts, those in which parts are erased as explained, for the second look.
    """

    paste: float = 0.4
    max_pasted: int = 4
    no_depth: float = 0.08
    no_color: float = 0.08
    mono: float = 0.15
    gsd_jitter: tuple[float, float] = (0.8, 1.3)
    explained: float = 0.35

    def __post_init__(self) -> None:
        shares = (self.paste, self.no_depth, self.no_color, self.mono)
        if not 0 <= self.explained <= 1:
            raise BinposeError(f"explained must be in [0, 1], got {self.explained}.")
        if min(shares) < 0 or max(self.paste, sum(shares[1:])) > 1:
            raise BinposeError(f"paste, and no_depth + no_color + mono together, must be in [0, 1], got {shares}.")
        if self.max_pasted < 1:
            raise BinposeError(f"max_pasted must be >= 1, got {self.max_pasted}.")
        if not 0 < self.gsd_jitter[0] <= self.gsd_jitter[1]:
            raise BinposeError(f"gsd_jitter must be a rising pair above 0, got {self.gsd_jitter}.")


@dataclass(frozen=True)
class Labels:
    """What is known per pixel of a frame.

    class_ids: (H, W) int16, 0 = no part, -1 = ignore.
    center_px: (H, W, 2) float32, projected centre of the pixel's part. center_depth_m: (H, W) float32, its depth.
    weights: (H, W, 2) float32 in [0, 1], of the class and of the centre; 0 = unknown. Background has 1.
    """

    class_ids: npt.NDArray[np.int16]
    center_px: npt.NDArray[np.float32]
    center_depth_m: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def paste_parts(
    frame: RgbdFrame, labels: Labels, view: LabelledView, other: Labels, rng: np.random.Generator, max_pasted: int
) -> tuple[RgbdFrame, Labels]:
    """Lay well visible parts of `view` over the frame, moved in the image and to a depth in front of what is there.

    Only images, classes and centres stay true, which is all that segmentation needs: a pasted part has no pose. Its
    pixels are known as well as in `view`, whatever was known of those that it covers.
    """
    depth, color = frame.depth_m, frame.rgb.copy()
    if depth is None or view.frame.depth_m is None:
        return frame, labels
    depth = depth.copy()
    class_ids, center_px = labels.class_ids.copy(), labels.center_px.copy()
    center_depth, weights = labels.center_depth_m.copy(), labels.weights.copy()
    candidates = np.nonzero((np.asarray(view.visible_fraction) > 0.85) & view.pose_known)[0]
    chosen = rng.permutation(candidates)[: rng.integers(1, max_pasted + 1)]
    for instance in chosen:
        rows, columns = np.nonzero(view.instance_ids == instance)
        if len(rows) < 30:
            continue
        target = _shifted(rows, columns, class_ids, rng)
        if target is None:
            continue
        to_rows, to_columns, shift = target
        source, there = view.frame.depth_m[rows, columns], depth[to_rows, to_columns]
        if not (source > 0).any() or not (there > 0).any():
            continue
        lift = np.quantile(there[there > 0], 0.2) - np.quantile(source[source > 0], 0.9)
        put = (to_rows, to_columns)
        depth[put] = np.where(source > 0, source + lift, 0)
        color[put] = view.frame.rgb[rows, columns]
        class_ids[put] = other.class_ids[rows, columns]
        center_px[put] = other.center_px[rows, columns] + shift
        center_depth[put] = other.center_depth_m[rows, columns] + lift
        weights[put] = other.weights[rows, columns]
    return replace(frame, color=color, depth_m=depth), Labels(class_ids, center_px, center_depth, weights)


def explain_parts(labels: Labels, view: LabelledView, rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], Labels]:
    """Pixels (H, W) to erase, as if some of the clearly visible parts were already found, and the labels without them.

    What is left of an explained part is background. The border of an erased region varies by a pixel, as that of a
    rendered pose does.
    """
    clear = np.flatnonzero((np.asarray(view.visible_fraction) > EXPLAINED_VISIBLE) & view.pose_known)
    chosen = clear[rng.random(len(clear)) < rng.uniform(*EXPLAINED_FRACTION)]
    parts = np.isin(view.instance_ids, chosen)
    erased = _with_border(parts, int(rng.integers(-1, 2)))
    class_ids = np.where(parts, np.int16(0), labels.class_ids)
    weights = np.where(parts[..., None], np.float32(1), labels.weights)
    weights[erased & ~parts] = 0
    return erased, replace(labels, class_ids=class_ids, weights=weights)


def _with_border(mask: npt.NDArray[np.bool_], border_px: int) -> npt.NDArray[np.bool_]:
    """The mask (H, W) grown by some pixels, or shrunk by a negative number of them."""
    change = cv2.dilate if border_px > 0 else cv2.erode
    kernel = np.ones((2 * abs(border_px) + 1,) * 2, np.uint8)
    return np.asarray(change(mask.astype(np.uint8), kernel)) > 0


def _shifted(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    class_ids: npt.NDArray[np.int16],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """New places of an instance's pixels, centred on a random pixel of a part if there is one."""
    height, width = class_ids.shape
    part_rows, part_columns = np.nonzero(class_ids > 0)
    if len(part_rows) == 0:
        return None
    pick = rng.integers(len(part_rows))
    down = int(part_rows[pick] - rows.mean() + rng.normal(0, 15))
    across = int(part_columns[pick] - columns.mean() + rng.normal(0, 15))
    to_rows, to_columns = rows + down, columns + across
    if min(to_rows.min(), to_columns.min()) < 0 or to_rows.max() >= height or to_columns.max() >= width:
        return None
    return to_rows, to_columns, np.array([across, down], np.float32)


def recolored(color: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Other exposure, contrast, white balance, saturation, sharpness and noise of an RGB image (H, W, 3)."""
    image = cv2.GaussianBlur(color, (0, 0), rng.uniform(0.4, 1.3)) if rng.random() < 0.3 else color
    saturation = rng.uniform(0.5, 1.4)
    mixing = saturation * np.eye(3) + (1 - saturation) / 3
    image = cv2.transform(image, rng.uniform(0.85, 1.15, (3, 1)) * mixing)
    levels = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.03)
    image = cv2.LUT(image, np.clip(levels * 255, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        cv2.setRNGSeed(int(rng.integers(1 << 30)))
        noise = cv2.randn(np.empty(image.shape[:2], np.int16), 0, 255 * rng.uniform(0, 0.04))
        image = cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
    return np.asarray(image, np.uint8)


def with_missing_sense(frame: RgbdFrame, config: AugmentationConfig, rng: np.random.Generator) -> RgbdFrame:
    """The frame without its depth, without its colour, in grey, or as it is."""
    draw = rng.random()
    if draw < config.no_depth:
        return replace(frame, depth_m=None)
    if draw < config.no_depth + config.no_color:
        return replace(frame, color=np.full(frame.gray.shape, 128, np.uint8))
    if draw < config.no_depth + config.no_color + config.mono:
        return replace(frame, color=frame.gray)
    return frame
