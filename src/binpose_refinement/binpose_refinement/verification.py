"""Measures the evidence for and against poses, at the frame's own resolution.

Every pixel of a rendered hypothesis falls into one case:

- the observed depth agrees: explained;
- something is observed in front: occluded, which is no evidence against the pose unless the pixel belongs to the
  detection's own mask;
- something is observed behind: the part would lie in free space, a violation;
- no depth: neutral, or explained by the mask where the detection covers it.

Further evidence: the fraction of the mask that is explained; the normals; the contour, beyond which the surface must
not continue at the same depth (longer rods, rims of holes, plates); the image gradient along contour and creases; and
the pairwise comparison with the detection's other poses. Depth differences are measured along the rendered normal, with
a dead zone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer, in_chunks
from binpose_refinement.kernels import evidence as e
from binpose_refinement.kind_mixture import lead_over_rivals
from binpose_refinement.observation import Observation
from binpose_refinement.pairwise import compare_pairwise

MEASURED = (
    "explained",  # agreeing pixels / pixels with evidence
    "violation",  # free-space violations / expected visible pixels
    "violation_core",  # the same without a border of one pixel
    "mask_explained",  # mask pixels that the pose explains / mask pixels
    "mask_iou",  # of the mask and the rendering that is not occluded
    "mask_in_front",  # mask pixels observed in front of the rendering / mask pixels
    "visible",  # agreeing pixels / rendered pixels
    "occluded",  # rendered pixels behind something observed / rendered pixels
    "occluded_unknown",  # those that no other detection covers / rendered pixels
    "unknown",  # rendered pixels without depth outside of the mask / rendered pixels
    "stolen",  # agreeing pixels that another detection covers / agreeing pixels
    "normals",  # mean cosine between observed and rendered normals
    "normals_wrong",  # fraction of agreeing pixels whose normals disagree
    "residual",  # root mean square of the agreeing pixels' difference / tolerance
    "contour_confirmed",  # silhouette points with a step to the background / all that can be decided
    "contour_continued",  # silhouette points beyond which the surface continues / all that can be decided
    "contour_edge",  # mean image gradient across the silhouette, saturated, in [0, 1]
    "crease_edge",  # mean image gradient at the rendering's inner edges, saturated, in [0, 1]
    "smooth_edge",  # the same on its smooth pixels
    "evidence",  # log10 of the number of agreeing pixels (in pixels of the frame)
    "depth_share",  # mask pixels that have depth / mask pixels
    "no_depth",  # 1 when the frame has no depth
    "weakest_edge",  # contour_edge of the side of the silhouette with the least
    "worst_continued",  # contour_continued of the side with the most: a longer rod continues at one end
    "solid",  # pixels within 5 mm / those and the ones farther behind: low for a pose in free space
    "duel",  # pairwise comparison: margin over the strongest rival of the same object, in [-1, 1]
    "duel_px",  # log10 of the number of pixels on which that margin is measured
    "kind",  # pairwise comparison: margin over the strongest rival of another object, in [-1, 1]
)
CONTEXT = (
    "confidence",  # of the pose network
    "detection",  # score of the detection
    "other_class",  # 1 when the class is not the detection's first
    "lead",  # heuristic score minus that of the best rival
    "company",  # log-odds that the frame's other detections give to this object over its rival, see `kind_mixture`
)
FEATURES = MEASURED + CONTEXT

LEAST_EXPLAINED = 0.05
"""Least fraction of the mask that a pose of the detection explains; right poses explain three times as much."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """features: (B, len(MEASURED)) float64.

    explained: (B, h, w) uint8, 1 where depth (or, without depth, the mask) agrees.
    windows: (B, 3) of the crops, see `PartRenderer.windows`; the steps are integers.
    lead: (B,) heuristic score minus that of the best rival.
    """

    features: FloatArray
    explained: npt.NDArray[np.uint8]
    windows: FloatArray
    lead: FloatArray

    def joined(self, other: "Evidence") -> "Evidence":
        """This evidence followed by that of other hypotheses, measured in crops of the same size."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Evidence(*(np.concatenate(pair) for pair in pairs))


def tolerance_of(observation: Observation, tolerance_m: float, sigmas: float) -> float:
    """Depth difference in metres that counts as agreement at this frame's noise."""
    return tolerance_m + sigmas * observation.noise_m


Rivals = Callable[[HypothesisBatch], npt.NDArray[np.int64]]
"""Pairs (P, 2) of the hypotheses of a batch that cannot both be right, see `PoseComparer.rivals`."""


def measure(
    part_renderer: PartRenderer,
    observation: Observation,
    batch: HypothesisBatch,
    level: int,
    size_px: int,
    tolerance_m: float,
    rivals: Rivals | None = None,
) -> Evidence:
    """Compare all hypotheses with the frame, in crops of at most size_px with a step of whole frame pixels.

    Without `rivals`, the pairwise comparison is left out.
    """
    o = observation

    def of_chunk(some: HypothesisBatch) -> tuple[npt.NDArray[Any], ...]:
        windows = part_renderer.windows(some, o.camera, size_px, whole_steps=True)
        drawn = part_renderer.draw(some, level, windows, o.camera, size_px)
        tally, explained = np.zeros((len(some), e.TALLIES)), np.zeros(drawn.depth_m.shape, np.uint8)
        e.tally_all(
            drawn.depth_m, drawn.face_ids, part_renderer.normals, part_renderer.first_face[some.part, level],
            np.ascontiguousarray(some.T_cam_obj, dtype=np.float64), windows, o.camera.intrinsics, o.depth_m,
            o.normals, o.labels, o.edges, some.owner, tolerance_m, o.has_depth, tally, explained,
        )  # fmt: skip
        pairs = rivals(some) if rivals is not None else np.zeros((0, 2), np.int64)
        comparison = compare_pairwise(
            drawn.depth_m, windows, some.owner, some.part, pairs, o.depth_m, o.labels, tolerance_m
        )
        measured = _features(tally, o.mask_px[some.owner], windows[:, 2] ** 2, o.has_depth)
        features = np.column_stack([measured, *comparison])
        return features, explained, windows, lead_over_rivals(heuristic_score(features), pairs)

    return Evidence(*in_chunks(batch, of_chunk))


def _features(tally: FloatArray, mask_px: npt.NDArray[np.int64], area: FloatArray, has_depth: bool) -> FloatArray:
    """The first columns of MEASURED (B, 25) from tallies (B, TALLIES) of pixels with `area` (B,) frame pixels each."""
    t = tally.T
    mask = np.maximum(mask_px / area, 1.0)
    missed = np.maximum(mask - t[e.MASK_AGREED] - t[e.MASK_IN_FRONT], 0.0)
    known = np.maximum(t[e.RENDERED] - t[e.OCCLUDED], 1.0)
    rendered, hard = np.maximum(t[e.RENDERED], 1.0), np.maximum(t[e.AGREED_HARD], 1.0)
    normal_count = np.maximum(t[e.NORMAL_COUNT], 1.0)
    decided = t[e.STEP_BACK] + t[e.CONTINUED]
    decided = np.maximum(decided, 0.15 * (decided + t[e.CONTOUR_UNDECIDED]) + 1.0)  # few points decide little
    columns = (
        t[e.AGREED] / (t[e.AGREED] + t[e.VIOLATED] + t[e.MASK_IN_FRONT] + missed + 1.0),
        t[e.VIOLATED] / known,
        t[e.VIOLATED_CORE] / known,
        np.minimum(t[e.MASK_AGREED] / mask, 1.0),
        t[e.MASK_DRAWN] / np.maximum(known + mask - t[e.MASK_DRAWN], 1.0),
        np.minimum(t[e.MASK_IN_FRONT] / mask, 1.0),
        t[e.AGREED] / rendered,
        t[e.OCCLUDED] / rendered,
        t[e.OCCLUDED_UNKNOWN] / rendered,
        t[e.UNKNOWN] / rendered,
        t[e.STOLEN] / hard,
        t[e.NORMAL_SUM] / normal_count,
        t[e.NORMAL_WRONG] / normal_count,
        np.sqrt(t[e.SQUARES] / hard),
        t[e.STEP_BACK] / decided,
        t[e.CONTINUED] / decided,
        t[e.CONTOUR_EDGE] / np.maximum(t[e.CONTOUR_COUNT], 1.0),
        t[e.CREASE_EDGE] / np.maximum(t[e.CREASE_COUNT], 1.0),
        t[e.SMOOTH_EDGE] / np.maximum(t[e.SMOOTH_COUNT], 1.0),
        np.log10(1.0 + t[e.AGREED_HARD] * area),
        np.minimum(t[e.MASK_DEPTH] / mask, 1.0),
        np.full(len(tally), 0.0 if has_depth else 1.0),
        *_sides(tally),
        t[e.NEAR] / np.maximum(t[e.NEAR] + t[e.FREE], 1.0),
    )
    return np.stack(columns, -1)


def _sides(tally: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least mean edge (B,) and the largest fraction of continued surface (B,) over the contour's directions.

    Pairs of neighbouring eighths are combined, so that no end of a part is split. Those with few points are ignored.
    """
    sides = tally[:, e.FIRST_SIDE :].reshape(-1, e.SIDES, e.PER_SIDE)
    edge, count, back, on = np.moveaxis(sides + np.roll(sides, -1, axis=1), -1, 0)
    sufficient = count >= 2.0 + 0.05 * sides[..., 1].sum(1, keepdims=True)
    weakest = np.where(sufficient, edge / np.maximum(count, 1.0), 1.0).min(1)
    continued = np.where(sufficient, on / np.maximum(back + on, 0.3 * count + 1.0), 0.0).max(1)
    return weakest, continued


def explains_mask(features: FloatArray) -> npt.NDArray[np.bool_]:
    """(B,) whether poses with features (B, F) explain enough of the masks of their detections.

    Depth agrees with a pose on every similar surface, for example on a neighbouring part, or on the floor under a
    plate. That is evidence for a part there, but not for the part of this detection.
    """
    return np.asarray(features[:, MEASURED.index("mask_explained")] >= LEAST_EXPLAINED)


def heuristic_score(features: FloatArray) -> FloatArray:
    """Score (B,) in [0, 1] of features (B, >= len(MEASURED)) without a calibration: not a probability.

    The fraction of evidence that supports the pose. It is lowered where the contour contradicts the pose, normals
    disagree, pixels belong to other detections, or little of the part is visible. As far as the mask has no depth, the
    overlap of mask and rendering replaces the depth.
    """
    f = {name: features[:, i] for i, name in enumerate(MEASURED)}
    contour = 1.0 - 0.6 * f["contour_continued"]
    normals = np.clip(f["normals"], 0.0, 1.0) * (1.0 - 0.5 * f["normals_wrong"])
    others = 1.0 - 0.7 * f["stolen"]
    free = np.clip(1.0 - 1.5 * f["violation_core"], 0.0, 1.0)
    support = 10.0 ** f["evidence"]
    with_depth = f["explained"] * contour * normals * others * free * support / (support + 30.0)
    image = 0.6 * f["mask_iou"] * (0.7 + 0.3 * f["contour_edge"])  # weaker evidence than depth
    little = np.clip(1.0 - f["depth_share"] / 0.2, 0.0, 1.0)
    return np.clip(little * image + (1.0 - little) * with_depth + 0.05 * f["duel"], 0.0, 1.0)
