"""The crops that the pose network learns from: of true masks, and of what a detector makes of the same views."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.label_image import label_image
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import BACKGROUND, UNKNOWN, Detection, LabelledView
from binpose_core.frames.working_view import WorkingView, make_working_view
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.learning.training_loop import prefetched
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.candidates import candidates, center_of
from binpose_estimator.crops import MASK, TRUTH, Crops, concatenate, extract_crops
from binpose_estimator.estimator import EstimatorConfig
from binpose_estimator.training_config import PoseTrainingConfig

JITTER_FREEDOM = 4
SHOWN_SHARE = 0.4
"""A detection with less of its mask on one part is of none."""
NEAR_DIAMETERS = 0.5
"""A detection with its centre farther off is of another part."""

Detect = Callable[[RgbdFrame], Sequence[Detection]]


@dataclass(frozen=True)
class CropPool:
    """Training crops with the truth, whose flags have TRUTH.

    classes: (N,) int64, what the network is asked for. matches: (N,) whether the crop shows that.
    detected: (N,) whether mask and centre are a detector's.
    rotation: (N, 3, 3), center: (N, 3) in the crop's frame, in diameters from the crop's centre; float32.
    weight: (N,) float32 above 0, of the crop's part.
    """

    crops: Crops
    classes: npt.NDArray[np.int64]
    matches: npt.NDArray[np.bool_]
    detected: npt.NDArray[np.bool_]
    rotation: FloatArray
    center: FloatArray
    weight: npt.NDArray[np.float32]

    def take(self, index: npt.NDArray[np.integer]) -> "CropPool":
        """Some of the crops."""
        return CropPool(**{name: value[index] for name, value in vars(self).items()})


def crop_pool(
    views: Sequence[LabelledView],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    seed: int,
    track: Callable[[Sequence[LabelledView]], Iterable[LabelledView]] = iter,
    detect: Detect | None = None,
) -> CropPool:
    """Crops of the well visible parts of the views in random order, `variants` times each, at most about `max_crops`.

    Of a share of the views, and where there is a detector that finds something, they are cut around what it finds.

    Raises:
        BinposeError: if there is none.
    """
    order = np.random.default_rng((seed, 1)).permutation(len(views))

    def cut(number: int) -> list[CropPool]:
        index = int(order[number % len(order)])
        rng = np.random.default_rng((seed, 2, index))
        use = detect if detect is not None and rng.random() < config.detected_share else None
        return _view_pools(views[index], objects, estimator_config, config, rng, use)

    pools: list[CropPool] = []
    with contextlib.closing(prefetched(cut)) as cuts:
        for _ in track(views):
            pools += next(cuts)
            if sum(len(pool.classes) for pool in pools) >= config.max_crops:
                break
    if not pools:
        raise BinposeError(
            f"None of {len(views)} views shows enough of {', '.join(estimator_config.objects)} to learn poses from; "
            f"expected at least {config.least_visible_px} pixels of a part; simulate more or nearer views."
        )
    return CropPool(
        concatenate([p.crops for p in pools]),
        np.concatenate([p.classes for p in pools]),
        np.concatenate([p.matches for p in pools]),
        np.concatenate([p.detected for p in pools]),
        np.concatenate([p.rotation for p in pools]),
        np.concatenate([p.center for p in pools]),
        np.concatenate([p.weight for p in pools]),
    )


def _view_pools(
    view: LabelledView,
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
    detect: Detect | None,
) -> list[CropPool]:
    known = np.array([name in estimator_config.objects for name in view.object_ids], bool)
    pixels = np.bincount(view.instance_ids[view.instance_ids >= 0].astype(np.int64), minlength=len(known))
    chosen = known & view.pose_known
    chosen &= (view.visible_fraction >= config.least_visible) & (pixels >= config.least_visible_px)
    instances = np.nonzero(chosen)[0].astype(np.int32)
    if len(instances) == 0:
        return []
    gsd_m = estimator_config.gsd_m * rng.uniform(*config.gsd_jitter)
    working = make_working_view(view.frame, gsd_m, 2 * estimator_config.max_pixels)
    if detect is not None and (detections := detect(view.frame)):
        return [_detected_pool(view, working, detections, instances, objects, estimator_config)]
    return [
        _view_pool(view, working, instances, objects, estimator_config, config, rng) for _ in range(config.variants)
    ]


def _view_pool(
    view: LabelledView,
    working: WorkingView,
    instances: npt.NDArray[np.int32],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
) -> CropPool:
    instances, asked = _asked(view, instances, estimator_config, config, rng)
    parts = [objects[view.object_ids[i]] for i in instances]
    matches = np.array([part.id == name for part, name in zip(parts, asked, strict=True)])
    poses = view.T_cam_obj[instances]
    true_centers = np.array([transform(T, p.center_m[None])[0] for T, p in zip(poses, parts, strict=True)])
    across, along = config.center_jitter
    jitter = rng.standard_t(JITTER_FREEDOM, true_centers.shape).clip(-4, 4) * [across, across, along]
    centers = true_centers + jitter * np.array([[part.diameter_m] for part in parts])
    diameters = np.array([objects[name].diameter_m for name in asked])
    labels = working.labels(view.instance_ids)
    roll = rng.uniform(-np.pi, np.pi, len(instances))
    crops = extract_crops(working, estimator_config.preset.content, labels, instances, centers, diameters, roll)
    classes = np.array([estimator_config.objects.index(name) for name in asked], np.int64)
    weight = view.known_weight[instances]
    return _with_truth(crops, crops, classes, matches, False, poses, true_centers, centers, diameters, weight)


def _detected_pool(
    view: LabelledView,
    working: WorkingView,
    detections: Sequence[Detection],
    instances: npt.NDArray[np.int32],
    objects: Mapping[str, ObjectModel],
    estimator_config: EstimatorConfig,
) -> CropPool:
    """Crops of at least one detection as `PoseEstimator` cuts them; rolled by the batches' quarter turns alone.

    A detection is of the part that most of its mask shows. One that shows none mostly, or has its centre elsewhere, is
    a mistake: the network learns that it matches nothing. What is hardly seen, unknown, or not one of the network's
    parts is neither an example nor a mistake.
    """
    owners, names, _ = candidates(detections)
    known_ids = view.known_ids
    shown = np.array([_shown(detection, known_ids) for detection in detections])[owners]
    usable = np.isin(shown, instances)
    shown_part = np.where(usable, shown, instances[0])  # of the others nothing is used
    diameters = np.array([objects[name].diameter_m for name in names])
    centers = np.array([center_of(detections[i], view.frame, d) for i, d in zip(owners, diameters, strict=True)])
    content = estimator_config.preset.content
    labels = working.labels(label_image(detections, *working.frame_shape, order=range(len(detections))))
    crops = extract_crops(working, content, labels, owners, centers, diameters)
    true_labels, masks = working.labels(view.instance_ids), replace(content, names=("mask",))
    truth = extract_crops(working, masks, true_labels, shown_part.astype(np.int32), centers, diameters)
    poses, parts = view.T_cam_obj[shown_part], [objects[view.object_ids[i]] for i in shown_part]
    true_centers = np.array([transform(T, p.center_m[None])[0] for T, p in zip(poses, parts, strict=True)])
    near = np.linalg.norm(true_centers - centers, axis=-1) < NEAR_DIAMETERS * diameters
    same = np.array([part.id == name for part, name in zip(parts, names, strict=True)])
    matches = usable & near & same
    classes = np.array([estimator_config.objects.index(name) for name in names], np.int64)
    clear = usable | ((shown != UNKNOWN) & ~np.isin(shown, np.flatnonzero(view.visible_fraction > 0)))
    weight = np.where(usable, view.known_weight[shown_part], 1.0)
    pool = _with_truth(crops, truth, classes, matches, True, poses, true_centers, centers, diameters, weight)
    return pool.take(np.flatnonzero(clear))


def _shown(detection: Detection, known_ids: npt.NDArray[np.integer]) -> int:
    """The instance that most of a detection's mask shows, `BACKGROUND` where none has `SHOWN_SHARE` of it.

    `UNKNOWN` where the unknown pixels could be of one that has more of it.
    """
    x0, y0, x1, y1 = detection.bbox_xyxy
    ids = known_ids[y0:y1, x0:x1][detection.mask]
    count, unknown = np.bincount(ids[ids >= 0].astype(np.int64), minlength=1), int((ids == UNKNOWN).sum())
    if unknown >= SHOWN_SHARE * len(ids) and unknown >= count.max() and unknown:
        return UNKNOWN
    return int(count.argmax()) if count.max() >= SHOWN_SHARE * len(ids) else BACKGROUND


def _with_truth(
    crops: Crops,
    truth: Crops,
    classes: npt.NDArray[np.int64],
    matches: npt.NDArray[np.bool_],
    detected: bool,
    poses: FloatArray,
    true_centers: FloatArray,
    centers: FloatArray,
    diameters: FloatArray,
    weight: FloatArray,
) -> CropPool:
    """Crops around `centers` (B, 3) with the poses (B, 4, 4) in their frames and the flags of the true masks."""
    R_crop_cam = np.swapaxes(crops.R_cam_crop, -1, -2)
    distance = np.linalg.norm(centers, axis=-1)
    local = (R_crop_cam @ true_centers[..., None])[..., 0]
    local[:, 2] -= distance
    flags = crops.flags | np.where(truth.flags & MASK, TRUTH, 0).astype(np.uint8)
    return CropPool(
        replace(crops, flags=flags),
        classes,
        matches,
        np.full(len(classes), detected),
        (R_crop_cam @ poses[:, :3, :3]).astype(np.float32),
        (local / diameters[:, None]).astype(np.float32),
        weight.astype(np.float32),
    )


def _asked(
    view: LabelledView,
    instances: npt.NDArray[np.int32],
    estimator_config: EstimatorConfig,
    config: PoseTrainingConfig,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """The instances, some of them twice, and for which part the network is asked at each: mostly what they are."""
    asked = [view.object_ids[i] for i in instances]
    again = instances[rng.random(len(instances)) < config.wrong_share]
    wrong = [rng.choice([n for n in estimator_config.objects if n != view.object_ids[i]] or [""]) for i in again]
    if "" in wrong:  # one part alone cannot be taken for another
        return instances, asked
    return np.concatenate([instances, again]), [*asked, *map(str, wrong)]
