"""How well a view agrees with poses that other views propose: log-odds, visible fraction, and a refined pose.

Where a detection of the view overlaps the predicted part, the pose competes with the detection's other hypotheses.
Where there is none, the prediction itself is the mask, as far as the depth agrees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_core.stages import Refiner
from binpose_pipeline.scene.alike_poses import AlikePoses
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_refinement.config import RefinerConfig
from binpose_refinement.covariance import covariance_of
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.icp import Schedule, align
from binpose_refinement.observation import observe
from binpose_refinement.verification import tolerance_of

POLISH, VERIFY = 0, 1
LARGEST_PX = 384
NOBODY = -1


@dataclass(frozen=True, eq=False)
class ViewAgreement:
    """What one view says about B poses.

    log_odds: (B,) of being right, NaN where the view was not measured.
    visible: (B,) fraction of the silhouette that is neither occluded, nor outside the image, nor without depth.
    agreeing: (B,) fraction of that whose depth agrees.
    inside: (B,) fraction of the silhouette inside the image.
    detected: (B,) whether a detection of the view overlaps the part.
    T_cam_obj: (B, 4, 4) refined in this view; covariances: (6, 6) in the camera frame, None where not refined.
    pixels: (K,) flat indices of the image for each pose, where its depth agrees.
    """

    log_odds: FloatArray
    visible: FloatArray
    agreeing: FloatArray
    inside: FloatArray
    detected: npt.NDArray[np.bool_]
    T_cam_obj: FloatArray
    covariances: tuple[FloatArray | None, ...]
    pixels: tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class PartPrediction:
    """What a view shows of one predicted part.

    seen: flat indices of the pixels that are not occluded; agreeing: of those whose depth agrees.
    visible: fraction of the silhouette that has depth and is not occluded; agreement: fraction of that which agrees.
    inside: fraction of the silhouette inside the image.
    """

    seen: npt.NDArray[np.int64]
    agreeing: npt.NDArray[np.int64]
    visible: float
    agreement: float
    inside: float


class ViewMeasurer:
    """Measures poses in a view.

    Args:
        objects: the parts by id, in the order of the refiner's.
        refiner: its evidence and calibration give the log-odds.
        config: of the fusion.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], refiner: Refiner, config: ViewFusionConfig) -> None:
        self._refiner, self._config = refiner, config
        self._refinement = c = getattr(refiner, "config", RefinerConfig())
        self._part_renderer = PartRenderer(objects, (c.polish_faces, c.verify_faces))
        self._alike = AlikePoses(objects)
        self._ids = list(objects)

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], object_ids: Sequence[str], T_cam_obj: FloatArray
    ) -> ViewAgreement:
        """Measure poses (B, 4, 4), the best first."""
        count = len(object_ids)
        batch = self._batch(object_ids, T_cam_obj)
        predictions = self._predict(frame, batch)
        owners, all_detections = self._owners(frame, detections, object_ids, predictions)
        measured = np.flatnonzero(owners >= 0)
        refined, covariances = self._refine(frame, all_detections, batch, owners, measured, object_ids)
        log_odds = np.full(count, np.nan)
        log_odds[measured] = self._log_odds(frame, all_detections, object_ids, refined, owners, measured)
        visible = np.array([p.visible for p in predictions])
        agreement = np.array([p.agreement for p in predictions])
        unseen = (owners < 0) & (visible >= self._config.least_visible)
        log_odds[unseen] = -self._config.cap
        detected = (owners >= 0) & (owners < len(detections))
        pixels = tuple(p.agreeing for p in predictions)
        inside = np.array([p.inside for p in predictions])
        return ViewAgreement(log_odds, visible, agreement, inside, detected, refined, covariances, pixels)

    def predict(self, frame: RgbdFrame, object_ids: Sequence[str], T_cam_obj: FloatArray) -> list[PartPrediction]:
        """What can be seen of each pose (B, 4, 4)."""
        return self._predict(frame, self._batch(object_ids, T_cam_obj))

    def _batch(self, object_ids: Sequence[str], T_cam_obj: FloatArray) -> HypothesisBatch:
        count = len(object_ids)
        part = np.array([self._ids.index(name) for name in object_ids], np.int64)
        T = np.asarray(T_cam_obj, np.float64).reshape(count, 4, 4)
        return HypothesisBatch(np.arange(count), part, T, np.zeros(count))

    def _predict(self, frame: RgbdFrame, batch: HypothesisBatch) -> list[PartPrediction]:
        camera, renderer = frame.camera, self._part_renderer
        none = np.zeros(0, np.int64)
        found = [PartPrediction(none, none, 0.0, 0.0, 0.0)] * len(batch)
        drawable = np.flatnonzero(renderer.unusable(batch, camera) == "")
        if not len(drawable):
            return found
        some = batch.take(drawable)
        size_px = min(renderer.largest_px(some, camera), LARGEST_PX)
        windows = renderer.windows(some, camera, size_px, whole_steps=True)
        depths = renderer.draw(some, VERIFY, windows, camera, size_px).depth_m
        for row, depth_m, window in zip(drawable, depths, windows, strict=True):
            found[row] = _predicted(frame, depth_m, window, self._config.gate_m)
        return found

    def _owners(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        object_ids: Sequence[str],
        predictions: Sequence[PartPrediction],
    ) -> tuple[npt.NDArray[np.int64], list[Detection]]:
        """The detection (B,) of each pose, `NOBODY` where nothing of it is seen, and all detections.

        Poses without a detection get one of their own mask; those that overlap share it, so that they compete.
        """
        c, shape = self._config, (frame.camera.height, frame.camera.width)
        every = list(detections)
        masks = [detection.full_mask(*shape).ravel() for detection in detections]
        sizes = [int(mask.sum()) for mask in masks]
        owners = np.full(len(predictions), NOBODY, np.int64)
        for row, prediction in enumerate(predictions):
            best, overlap = _best_overlap(prediction.seen, masks, sizes)
            if overlap >= c.overlap:
                owners[row] = best
            elif len(prediction.agreeing) >= c.fewest_px and prediction.visible >= c.least_visible:
                mask = np.zeros(shape[0] * shape[1], np.bool_)
                mask[prediction.agreeing] = True
                owners[row] = len(every)
                every.append(Detection.from_mask(object_ids[row], 0.5, mask.reshape(shape)))
                masks.append(mask)
                sizes.append(int(mask.sum()))
        return owners, every

    def _refine(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        batch: HypothesisBatch,
        owners: npt.NDArray[np.int64],
        measured: npt.NDArray[np.int64],
        object_ids: Sequence[str],
    ) -> tuple[FloatArray, tuple[FloatArray | None, ...]]:
        """Poses aligned with this view's depth, where they stay the same pose, and their covariances."""
        T, covariances = batch.T_cam_obj.copy(), [None] * len(batch)
        if not len(measured) or frame.depth_m is None:
            return T, tuple(covariances)
        r, renderer = self._refinement, self._part_renderer
        observation = observe(frame, detections, r.noise_floor_m)
        tolerance = tolerance_of(observation, r.tolerance_m, r.tolerance_sigmas)
        end_m = max(r.gate_end_m, 3 * observation.noise_m)
        schedule = Schedule(r.polish_px, POLISH, r.polish_rounds, 0.05, 0.0, end_m, 0.1, tolerance)
        some = batch.take(measured)
        some = HypothesisBatch(owners[measured], some.part, some.T_cam_obj, some.confidence)
        aligned = align(renderer, observation, some, schedule)
        result: list[FloatArray | None] = list(covariances)
        for row, moved, information in zip(measured, aligned.T_cam_obj, aligned.information, strict=True):
            model = renderer.objects[batch.part[row]]
            limit_m = self._config.same_pose * model.diameter_m
            if self._alike.distance_m(object_ids[row], moved, T[row]) < limit_m:
                T[row] = moved
                result[row] = covariance_of(
                    information / observation.noise_m**2, moved, model.center_m, float(model.diameter_m)
                )
        return T, tuple(result)

    def _log_odds(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        object_ids: Sequence[str],
        T_cam_obj: FloatArray,
        owners: npt.NDArray[np.int64],
        measured: npt.NDArray[np.int64],
    ) -> FloatArray:
        """(M,) of the measured poses, from the refiner's evidence; -cap where it does not explain the mask."""
        c = self._config
        poses = []
        for owner in np.unique(owners[measured]):
            own = measured[owners[measured] == owner]
            hypotheses = tuple(Hypothesis(object_ids[i], T_cam_obj[i], 0.5) for i in own)
            first = hypotheses[0]
            poses.append(
                PoseEstimate(first.object_id, first.T_cam_obj, 0.5, detection_index=int(owner), hypotheses=hypotheses)
            )
        found = self._refiner.candidates(frame, detections, poses, refine=False)
        if not found:
            return np.full(len(measured), -c.cap)
        features = np.stack([candidate.features for candidate in found])
        score = self._refiner.probability([candidate.object_id for candidate in found], features)
        keys = [(f.detection_index, f.object_id, f.T_cam_obj.tobytes()) for f in found]
        scores = dict(zip(keys, score, strict=True))
        own_keys = [(int(owners[i]), object_ids[i], T_cam_obj[i].tobytes()) for i in measured]
        return np.array([capped_log_odds(scores.get(key, 0.0), c.cap) for key in own_keys])


def capped_log_odds(probability: float, cap: float) -> float:
    """Log-odds of a probability, within [-cap, cap]."""
    p = min(max(float(probability), 1e-9), 1.0 - 1e-9)
    return float(np.clip(np.log(p / (1.0 - p)), -cap, cap))


def _predicted(frame: RgbdFrame, depth_m: npt.NDArray[np.float32], window: FloatArray, gate_m: float) -> PartPrediction:
    """Pixels of a rendering (h, w) in its window (3,): those that are not occluded, and those that agree."""
    height, width = frame.camera.height, frame.camera.width
    u0, v0, step = (int(x) for x in window)
    v, u = np.nonzero(depth_m > 0)
    rows, columns = v0 + step * v, u0 + step * u
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    total = max(len(v), 1)
    rows, columns = rows[inside], columns[inside]
    expected = depth_m[v[inside], u[inside]]
    observed = np.zeros_like(expected) if frame.depth_m is None else frame.depth_m[rows, columns]
    gap = observed - expected
    known = observed > 0
    agrees, occluded = known & (np.abs(gap) <= gate_m), known & (gap < -gate_m)
    free = known & (gap > gate_m)
    flat = rows * width + columns
    visible = int(agrees.sum() + free.sum())
    return PartPrediction(
        _blocks(flat[~occluded], step, height, width),
        _blocks(flat[agrees], step, height, width),
        visible / total,
        float(agrees.sum()) / max(visible, 1),
        float(inside.sum()) / total,
    )


def _blocks(flat: npt.NDArray[np.int64], step: int, height: int, width: int) -> npt.NDArray[np.int64]:
    """The pixels of the blocks of step x step pixels whose first ones are given."""
    if step == 1:
        return flat
    rows, columns = flat // width, flat % width
    offsets = np.arange(step)
    all_rows = (rows[:, None, None] + offsets[:, None]).repeat(step, 2).ravel()
    all_columns = (columns[:, None, None] + offsets[None, :]).repeat(step, 1).ravel()
    inside = (all_rows < height) & (all_columns < width)
    return np.asarray(all_rows[inside] * width + all_columns[inside])


def _best_overlap(
    pixels: npt.NDArray[np.int64], masks: Sequence[npt.NDArray[np.bool_]], sizes: Sequence[int]
) -> tuple[int, float]:
    """The mask with the largest intersection over union with pixels, and that value."""
    if not masks or not len(pixels):
        return NOBODY, 0.0
    common = np.array([np.count_nonzero(mask[pixels]) for mask in masks])
    overlaps = common / np.maximum(len(pixels) + np.array(sizes) - common, 1)
    best = int(overlaps.argmax())
    return best, float(overlaps[best])
