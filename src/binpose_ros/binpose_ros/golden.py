"""The frames that a new model must do no worse on: a BOP data set in the folder `golden` of a model store.

`binpose simulate` writes such a data set. Recorded frames with known poses serve as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from binpose_core.bop import BopDataset
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import FloatArray, transform
from binpose_core.metrics import mssd
from binpose_core.objects import ObjectModel
from binpose_core.types import Detection

FOLDER = "golden"
LEAST_VISIBLE = 0.5
RIGHT_SHARE = 0.1  # of the diameter
MOST_FRAMES = 20
Found = Sequence[tuple[str, FloatArray]]


@dataclass(frozen=True, eq=False)
class GoldenFrame:
    """A frame and the parts that a model should find in it: object_ids (N), T_cam_obj (N, 4, 4)."""

    frame: RgbdFrame
    object_ids: tuple[str, ...]
    T_cam_obj: FloatArray


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
        parts = [truth for truth in source.ground_truth() if truth.visible_fraction >= LEAST_VISIBLE]
        names = tuple(dataset.model(truth.obj_id).object_id for truth in parts)
        poses = np.array([truth.T_cam_obj for truth in parts], np.float64).reshape(-1, 4, 4)
        golden.append(GoldenFrame(source.read(), names, poses))
    return golden


def found_share(
    frames: Sequence[GoldenFrame], objects: Mapping[str, ObjectModel], estimate: Callable[[GoldenFrame], Found]
) -> float | None:
    """The share of all parts that have an estimated pose within a tenth of the diameter (MSSD); None without frames.

    Args:
        frames: the golden frames.
        objects: the parts by id.
        estimate: the poses (object id, T_cam_obj) of a frame.
    """
    right = [
        any(name == object_id and _is_right(objects[name], T, T_true) for name, T in found)
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


def _is_right(part: ObjectModel, T: FloatArray, T_true: FloatArray) -> bool:
    return mssd(T, T_true, part.points, part.symmetries.transforms()) <= RIGHT_SHARE * part.diameter_m


def _is_seen(part: ObjectModel, T: FloatArray, frame: RgbdFrame, detections: Sequence[Detection]) -> bool:
    center_cam = transform(T, part.center_m[None])[0]
    center_px, reach_px = frame.camera.project(center_cam), part.diameter_m / 4 * frame.camera.fx / center_cam[2]
    return any(d.object_id == part.id and np.linalg.norm(d.center_px - center_px) <= reach_px for d in detections)
