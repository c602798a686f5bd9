"""The frames that a new model must do no worse on: a BOP data set in the folder `golden` of a model store.

`binpose simulate` writes such a data set. Recorded frames with known poses serve as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from binpose_core.datasets.bop import BopDataset, BopFrame
from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig, right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.true_detection import true_detection

FOLDER = "golden"
MOST_FRAMES = 20
RIGHT = EvaluationConfig(error="mssd")
"""ADD-S hardly notices a long rod that is shifted along its axis."""
Found = Sequence[tuple[str, FloatArray]]


@dataclass(frozen=True, eq=False)
class GoldenFrame:
    """A frame and the parts that a model should find in it: object_ids (N), T_cam_obj (N, 4, 4).

    source: where it was read; annotations (N) are the parts' places among all that are annotated there.
    """

    frame: RgbdFrame
    object_ids: tuple[str, ...]
    T_cam_obj: FloatArray
    source: BopFrame
    annotations: tuple[int, ...]


def golden_frames(store: Path) -> list[GoldenFrame]:
    """The golden frames of a model store with their parts that are at least half visible; none where there are none.

    Raises:
        BinposeError: when they are damaged.
    """
    if not (store / FOLDER).is_dir():
        return []
    dataset = BopDataset(store / FOLDER)
    sources = [source for split in dataset.splits() for source in dataset.frames(split)][:MOST_FRAMES]
    golden = []
    for source in sources:
        truths = source.ground_truth()
        parts = {number: truth for number, truth in enumerate(truths) if truth.visible_fraction >= HALF_VISIBLE}
        names = tuple(dataset.model(truth.obj_id).object_id for truth in parts.values())
        poses = np.array([truth.T_cam_obj for truth in parts.values()], np.float64).reshape(-1, 4, 4)
        golden.append(GoldenFrame(source.read(), names, poses, source, tuple(parts)))
    return golden


def true_detections(golden: GoldenFrame, objects: Mapping[str, ObjectModel]) -> list[Detection]:
    """The known parts of a frame as a detector without errors finds them; none where the data set has no masks.

    Raises:
        BinposeError: when a mask is missing or damaged.
    """
    scene = golden.source.scene
    if not (scene.directory / scene.layout.folder("mask_visib")).is_dir():
        return []
    masks = golden.source.masks()[list(golden.annotations)]
    found = []
    for name, T, mask in zip(golden.object_ids, golden.T_cam_obj, masks, strict=True):
        if name in objects and mask.any():
            found.append(true_detection(objects[name], T, mask, golden.frame.camera))
    return found


def found_share(
    frames: Sequence[GoldenFrame], objects: Mapping[str, ObjectModel], estimate: Callable[[GoldenFrame], Found]
) -> float | None:
    """The share of all parts that have a right estimated pose (by MSSD, see `right_errors_m`); None without frames.

    Args:
        frames: the golden frames.
        objects: the parts by id.
        estimate: the poses (object id, T_cam_obj) of a frame.
    """
    errors = {name: PartErrors(part) for name, part in objects.items()}
    right = [
        object_id in errors and _is_found(errors[object_id], [T for name, T in found if name == object_id], T_true)
        for golden in frames
        for found in [estimate(golden)]
        for object_id, T_true in zip(golden.object_ids, golden.T_cam_obj, strict=True)
    ]
    return float(np.mean(right)) if right else None


def seen_share(
    frames: Sequence[GoldenFrame],
    objects: Mapping[str, ObjectModel],
    segment: Callable[[RgbdFrame], Sequence[Detection]],
) -> float | None:
    """The share of all parts that have a detection of their class centred within a quarter of their diameter.

    A part that the model does not know is not seen, as in `found_share`.
    """
    seen = [
        object_id in objects and _is_seen(objects[object_id], T, golden.frame, detections)
        for golden in frames
        for detections in [segment(golden.frame)]
        for object_id, T in zip(golden.object_ids, golden.T_cam_obj, strict=True)
    ]
    return float(np.mean(seen)) if seen else None


def _is_found(part: PartErrors, poses: Sequence[FloatArray], T_true: FloatArray) -> bool:
    return bool(np.isfinite(right_errors_m(part, np.reshape(poses, (-1, 4, 4)), T_true[None], RIGHT)).any())


def _is_seen(part: ObjectModel, T: FloatArray, frame: RgbdFrame, detections: Sequence[Detection]) -> bool:
    center_cam = part.center_in(T)
    center_px = frame.camera.project(center_cam)
    reach_px = part.diameter_m / 4 * frame.camera.fx / center_cam[2]
    return any(d.object_id == part.id and np.linalg.norm(d.center_px - center_px) <= reach_px for d in detections)
