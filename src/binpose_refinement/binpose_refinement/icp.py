"""Projective ICP of many hypotheses at once: observed points against the rendered visible surface.

Each round renders every hypothesis in a small window and pairs the observed points of its region with the nearest
rendered point in a neighbourhood of pixels. Damped Gauss-Newton steps then reduce the point-to-plane distances, mixed
with some point-to-point. The pairs go from scene to model, because the reverse is biased by millimetres on partial
views. Where the mask has no depth (shiny parts), its pixels attract the silhouette. The pose of the best round is kept,
the start included: refinement never makes a hypothesis worse by its own measure.
"""

from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer, in_chunks
from binpose_refinement.kernels.icp import SEARCH, icp_round
from binpose_refinement.observation import Observation

STEPS_PER_RENDER = 2


@dataclass(frozen=True)
class Schedule:
    """Annealing schedule of one call of `align`.

    size_px: crop; level: level of detail of the parts; rounds: renderings that are followed by steps.
    gate_start, gate_end_m: largest distance of a pair, first as a fraction of the diameter, at the end in metres.
    point_share: weight of point-to-point against point-to-plane at the start; falls to a tenth.
    tolerance_m: depth difference that counts as agreement in the score.
    """

    size_px: int
    level: int
    rounds: int
    gate_start: float
    gate_end: float
    gate_end_m: float
    point_share: float
    tolerance_m: float


@dataclass(frozen=True)
class Alignment:
    """Result of `align`.

    T_cam_obj: (B, 4, 4) float64; agreement: (B,) in [0, 1].
    information: (B, 6, 6) normal equations J^T W J of (translation of the part's centre in m, rotation in rad) at
        the last step, for residuals in metres.
    """

    T_cam_obj: FloatArray
    agreement: FloatArray
    information: FloatArray


def align(
    part_renderer: PartRenderer, observation: Observation, batch: HypothesisBatch, schedule: Schedule
) -> Alignment:
    """Refine all hypotheses; poses that do not improve stay unchanged."""

    def aligned(some: HypothesisBatch) -> tuple[FloatArray, ...]:
        return tuple(vars(_align(part_renderer, observation, some, schedule)).values())

    return Alignment(*in_chunks(batch, aligned))


def _align(
    part_renderer: PartRenderer, observation: Observation, batch: HypothesisBatch, schedule: Schedule
) -> Alignment:
    camera = observation.camera
    diameter = part_renderer.diameter_m[batch.part]
    centers = part_renderer.center_m[batch.part]
    first_face = part_renderer.first_face[batch.part, schedule.level]
    windows = part_renderer.windows(batch, camera, schedule.size_px)
    current = np.ascontiguousarray(batch.T_cam_obj, dtype=np.float64)
    best, best_score = current.copy(), np.full(len(batch), -1.0)
    information = np.zeros((len(batch), 6, 6))
    mask_px = observation.mask_px[batch.owner] / windows[:, 2] ** 2
    for k in range(schedule.rounds + 1):
        progress = k / max(schedule.rounds - 1, 1)
        end = np.maximum(schedule.gate_end_m, schedule.gate_end * diameter)
        start = np.maximum(schedule.gate_start * diameter, end)
        gate = start * (end / start) ** min(progress, 1.0)
        pixel_m = windows[:, 2] * part_renderer.centers_cam(batch.moved(current))[:, 2] / camera.fx
        stride = np.clip(np.round(gate / (SEARCH * pixel_m)), 1, 4).astype(np.int64)
        reach = np.where(gate < 1.5 * pixel_m, 1, SEARCH)
        drawn = part_renderer.draw(batch.moved(current), schedule.level, windows, camera, schedule.size_px)
        score = np.empty(len(batch))
        moved, H = np.empty_like(current), np.empty_like(information)
        icp_round(
            drawn.depth_m, drawn.face_ids, part_renderer.normals, first_face, current, centers, diameter, windows,
            camera.intrinsics, observation.depth_m, observation.normals, observation.labels, batch.owner, mask_px,
            gate, stride, reach, schedule.point_share * 0.1 ** min(progress, 1.0), schedule.tolerance_m,
            STEPS_PER_RENDER if k < schedule.rounds else 0, score, moved, H,
        )  # fmt: skip
        better = score > best_score
        best[better], best_score[better] = current[better], score[better]
        if k < schedule.rounds:
            current, information = moved, H
    return Alignment(best, np.maximum(best_score, 0.0), information)
