"""What an estimation leaves on disk, and reading it back.

<run>/run.json                          model, input, options and what happened to each frame
<run>/results.csv                       all poses in the BOP challenge's format
<run>/frames/<name>/poses.json          the poses of a frame, metres, with residuals; those below the threshold apart
<run>/frames/<name>/overlay.png         the parts drawn over the picture
<run>/frames/<name>/explain/*.png       with --explain, how each part was found
<run>/report.html                       all of it to look at
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BadFile, CannotWrite, UnknownObject
from binpose_core.base.files import read_json, write_bytes, write_json
from binpose_core.datasets.bop_json import as_entries, as_entry, finite_array
from binpose_core.datasets.bop_results import BopResult, read_results, write_results
from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import quat_xyzw_from_rotation
from binpose_core.parts.empty_results import EmptyReason
from binpose_pipeline.depth_check import check_depth

LISTED_PROBABILITY = 0.05
"""Least probability of another pose of a part that is listed."""
FRAME_FILES, EXPLAIN = ("poses.json", "overlay.png"), "explain"
EVALUATION_FILES = ("evaluation.json", "evaluation.html")


@dataclass(frozen=True)
class FrameOutcome:
    """What became of one frame: its poses, or the sentence that says why there are none.

    rejected: what scored too low to be reported.
    seconds: wall-clock time per stage, in their order.
    reason: why no pose is reported, if so.
    notes: what the reader ignored or found odd.
    unexplained: fraction of the bin's content that no pose explains; NaN where unknown.
    """

    name: str
    scene_id: int
    image_id: int
    poses: tuple[PoseEstimate, ...] = ()
    rejected: tuple[PoseEstimate, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    reason: EmptyReason | None = None
    notes: tuple[str, ...] = ()
    unexplained: float = float("nan")


@dataclass(frozen=True)
class RunRecord:
    """The header of a run.

    objects: object id to its number in results.csv; only those that were asked for.
    diameters_m: of these objects; empty in runs of earlier versions.
    notes: what was left out of the input.
    depth_check: of all reported poses, see `depth_check.DepthCheck`.
    calibrated: whether the scores are probabilities.
    """

    source: str
    split: str | None
    model: str
    model_version: str
    objects: Mapping[str, int]
    threshold: float
    calibrated: bool = True
    frames: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diameters_m: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    depth_check: Mapping[str, int] = field(default_factory=dict)

    def number(self, object_id: str) -> int:
        """The object's number in results.csv."""
        if object_id not in self.objects:
            raise UnknownObject(
                f"No object {object_id!r} in this run; known: {', '.join(self.objects)}.", [object_id], self.objects
            )
        return self.objects[object_id]


class RunDirectory:
    """Writes and reads the files of a run."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def frame_directory(self, name: str) -> Path:
        """Where the files of a frame lie."""
        return self.root / "frames" / name

    def write_frame(self, outcome: FrameOutcome, overlay_png: bytes) -> None:
        """A frame's poses and picture."""
        directory = self.frame_directory(outcome.name)
        content = {
            "name": outcome.name,
            "scene_id": outcome.scene_id,
            "image_id": outcome.image_id,
            "seconds": {stage: round(value, 4) for stage, value in outcome.seconds.items()},
            "poses": [pose_to_json(pose) for pose in outcome.poses],
            "rejected": [pose_to_json(pose) for pose in outcome.rejected],
            **_checks(outcome),
        }
        write_json(directory / "poses.json", content, indent=1, durable=False)
        write_bytes(directory / "overlay.png", overlay_png, durable=False)

    def write_results(self, record: RunRecord, outcomes: Sequence[FrameOutcome]) -> None:
        """results.csv and run.json for all frames so far; what an earlier run left of others is removed.

        Raises:
            BinposeError: when the place cannot be written to, or the disk is full.
        """
        write_results(self.root / "results.csv", bop_results(record, outcomes))
        frames = {outcome.name: _frame_entry(outcome) for outcome in outcomes}
        total = check_depth(pose for outcome in outcomes for pose in outcome.poses).to_json()
        content = {**vars(record), "objects": dict(record.objects), "frames": frames, "depth_check": total}
        write_json(self.root / "run.json", content)
        self._remove_stale({outcome.name for outcome in outcomes if outcome.error is None})

    def read_record(self) -> RunRecord:
        """The header of the run.

        Raises:
            BinposeError: when the folder holds no run or a damaged one.
        """
        path = self.root / "run.json"
        if not path.is_file():
            raise BadFile(f"No run at {self.root}; expected the folder that `binpose estimate --out` wrote.", path)
        try:
            return _checked_record(RunRecord(**as_entry(read_json(path), str(path))))
        except TypeError as error:
            raise BadFile(
                f"{path} is not the record of a run ({error}); run `binpose estimate` again.", path
            ) from error

    def read_results(self) -> list[BopResult]:
        """The poses of results.csv.

        Raises:
            BinposeError: when the file is missing or damaged.
        """
        return read_results(self.root / "results.csv")

    def read_rejected(self, name: str) -> list[PoseEstimate] | None:
        """The poses of a frame that scored below the run's threshold; None where the run does not hold them.

        Raises:
            BinposeError: for a damaged file.
        """
        path = self.frame_directory(name) / "poses.json"
        content = as_entry(read_json(path), str(path)) if path.is_file() else {}
        if "rejected" not in content:
            return None
        return [_pose_from_json(entry, str(path)) for entry in as_entries(content["rejected"], str(path))]

    def _remove_stale(self, done: Collection[str]) -> None:
        """Remove our own files, and no others, of frames that are not done, and an evaluation of other results."""
        frames = [path for path in self.root.glob("frames/*") if path.is_dir() and path.name not in done]
        stale = [frame / file for frame in frames for file in FRAME_FILES]
        stale += [path for frame in frames for path in (frame / EXPLAIN).glob("*.png")]
        try:
            for path in [*stale, *(self.root / file for file in EVALUATION_FILES)]:
                path.unlink(missing_ok=True)
            for folder in (folder for frame in frames for folder in (frame / EXPLAIN, frame)):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            raise cannot_replace(error) from error


def cannot_replace(error: OSError) -> CannotWrite:
    """The refusal where a file of an earlier run cannot be removed."""
    return CannotWrite(
        f"Could not remove {error.filename} of an earlier run: {error.strerror}; expected a folder whose results "
        "may be replaced; delete it, or choose another --out.",
        error.filename,
    )


def _checked_record(record: RunRecord) -> RunRecord:
    """The record as it is; raises TypeError where a value is of another kind."""
    for name, kind in (("source", str), ("split", str | None), ("model_version", str), ("threshold", float | int)):
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"{name} is {getattr(record, name)!r}")
    for name, value_kind in (("objects", int), ("frames", dict)):
        values = getattr(record, name)
        if not isinstance(values, dict) or not all(isinstance(value, value_kind) for value in values.values()):
            raise TypeError(f"{name} is {values!r}")
    return record


def bop_results(record: RunRecord, outcomes: Sequence[FrameOutcome]) -> list[BopResult]:
    """The lines of results.csv; BOP wants one time per image, the same in all its lines.

    Of several cameras' frames with one image number, the first counts: the others' poses are the same parts.
    """
    first: dict[tuple[int, int], FrameOutcome] = {}
    for outcome in outcomes:
        first.setdefault((outcome.scene_id, outcome.image_id), outcome)
    return [
        BopResult(
            scene_id=outcome.scene_id,
            image_id=outcome.image_id,
            obj_id=record.number(pose.object_id),
            score=float(pose.score),
            T_cam_obj=pose.T_cam_obj,
            time_s=sum(outcome.seconds.values()),
        )
        for outcome in first.values()
        for pose in outcome.poses
    ]


def pose_to_json(pose: PoseEstimate) -> dict[str, Any]:
    """A pose as plain numbers: metres, camera frame, quaternion as x, y, z, w."""
    return {
        "object_id": pose.object_id,
        # Not rounded: 0.49999 would pass a threshold of 0.5.
        "score": float(pose.score),
        "T_cam_obj": np.asarray(pose.T_cam_obj, np.float64).round(9).tolist(),
        "position_m": np.asarray(pose.T_cam_obj[:3, 3], np.float64).round(9).tolist(),
        "quat_xyzw": quat_xyzw_from_rotation(pose.T_cam_obj[:3, :3]).round(9).tolist(),
        "covariance": None if pose.covariance is None else np.asarray(pose.covariance, np.float64).tolist(),
        "residuals": {name: round(float(value), 6) for name, value in pose.residuals.items()},
        "alternatives": [
            {
                "object_id": other.object_id,
                "probability": float(other.score),
                "T_cam_obj": np.asarray(other.T_cam_obj, np.float64).round(9).tolist(),
            }
            for other in alternatives(pose)
        ],
    }


def alternatives(pose: PoseEstimate, least: float = LISTED_PROBABILITY) -> list[Hypothesis]:
    """The other poses that the image allows for a part, with a probability of at least `least`.

    Only one of them and the pose itself can be right; the hypotheses' scores are their probabilities.
    """
    return [other for other in pose.hypotheses[1:] if other.score >= least]


def _pose_from_json(entry: Mapping[str, Any], where: str) -> PoseEstimate:
    """The part, pose and score that `pose_to_json` wrote."""
    T_cam_obj = finite_array(entry.get("T_cam_obj"), (4, 4), "T_cam_obj", where)
    return PoseEstimate(
        str(entry.get("object_id")), T_cam_obj, float(finite_array(entry.get("score"), (), "score", where))
    )


def _frame_entry(outcome: FrameOutcome) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "scene_id": outcome.scene_id,
        "image_id": outcome.image_id,
        "parts": len(outcome.poses),
        "seconds": {stage: round(value, 4) for stage, value in outcome.seconds.items()},
    }
    return {**entry, **_checks(outcome)} if outcome.error is None else {**entry, "error": outcome.error}


def known_fraction(value: float) -> float | None:
    """A fraction as it is stored; None where it is not known."""
    return round(value, 4) if math.isfinite(value) else None


def _checks(outcome: FrameOutcome) -> dict[str, Any]:
    """What is known without labels: agreement with the depth, why there is no pose, what the reader noted."""
    entry: dict[str, Any] = {
        "depth_check": check_depth(outcome.poses).to_json(),
        "unexplained": known_fraction(outcome.unexplained),
        "notes": list(outcome.notes),
    }
    reason = outcome.reason
    if reason is None:
        return entry
    return {**entry, "reason": {"code": reason.code.code, "sentence": reason.sentence}}
