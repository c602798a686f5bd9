"""Several views of each bin run over a data set, and what is left on disk of each bin.

<run>/scenes/<bin>/poses.json    world poses, the views with their camera poses, and the verdict on these
<run>/scenes/<bin>/overlay.png   the views side by side
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_bytes, write_json
from binpose_core.datasets.bop_json import as_entries, as_entry, finite_array
from binpose_core.datasets.folder import FrameSource
from binpose_core.datasets.view_sources import ViewGroup, camera_pose_of
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, quat_xyzw_from_rotation
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.estimation import estimate_frames
from binpose_pipeline.pipeline import Pipeline, TimedResult
from binpose_pipeline.runs import LISTED_PROBABILITY, FrameOutcome, cannot_replace, known_fraction
from binpose_pipeline.scene.scene_estimator import SceneEstimator, SceneResult
from binpose_pipeline.scene.view_fusion import ScenePose

SCENE_FILES = ("poses.json", "overlay.png")
Estimated = tuple[FrameOutcome, RgbdFrame | None]


@dataclass(frozen=True, eq=False)
class SceneOutcome:
    """What became of the views of one bin: their frames and outcomes, in one order, and the result."""

    name: str
    views: tuple[CameraView, ...]
    outcomes: tuple[FrameOutcome, ...]
    result: SceneResult
    poses: tuple[ScenePose, ...]
    rejected: tuple[ScenePose, ...]


OnScene = Callable[[SceneOutcome], None]


def estimate_groups(
    estimator: SceneEstimator,
    pipeline: Pipeline,
    groups: Sequence[ViewGroup],
    chosen: PoseFilter,
    objects: Mapping[str, ObjectModel],
    on_scene: OnScene = lambda scene: None,
) -> Iterator[Estimated]:
    """The outcome of each frame, group by group; a bad frame is reported and the others go on.

    Args:
        estimator: joins the views of a bin.
        pipeline: estimates each view, and frames that are alone.
        groups: frames that are estimated together.
        chosen: which poses are reported.
        objects: the model's, by id.
        on_scene: called with each bin of which two or more views could be read.
    """
    for group in groups:
        if len(group.sources) < 2:
            for outcome, frame in estimate_frames(pipeline, group.sources, chosen, objects):
                yield replace(outcome, notes=(*outcome.notes, *group.notes)), frame
            continue
        yield from _estimate_group(estimator, pipeline, group, chosen, objects, on_scene)


def _estimate_group(
    estimator: SceneEstimator,
    pipeline: Pipeline,
    group: ViewGroup,
    chosen: PoseFilter,
    objects: Mapping[str, ObjectModel],
    on_scene: OnScene,
) -> Iterator[Estimated]:
    views: list[CameraView] = []
    results: list[TimedResult] = []
    failed: dict[str, FrameOutcome] = {}
    for source in group.sources:
        try:
            view = posed(source)
            results.append(pipeline.timed(view.frame))
            views.append(view)
        except BinposeError as error:
            failed[source.name] = FrameOutcome(source.name, source.scene_id, source.image_id, error=str(error))
    read = [source for source in group.sources if source.name not in failed]
    outcomes: dict[str, Estimated] = {name: (outcome, None) for name, outcome in failed.items()}
    if views:
        result = estimator.join(views, results)
        for number, (source, view) in enumerate(zip(read, views, strict=True)):
            notes = (*view.frame.notes, *group.notes, *result.notes)
            outcomes[source.name] = (_outcome(source, view.frame, result, number, chosen, objects, notes), view.frame)
    if len(views) > 1:
        kept, rejected = _split(result.poses, chosen, objects)
        own = tuple(outcomes[source.name][0] for source in read)
        on_scene(SceneOutcome(group.name, tuple(views), own, result, kept, rejected))
    for source in group.sources:
        yield outcomes[source.name]


def posed(source: FrameSource) -> CameraView:
    """A frame with its camera pose.

    Raises:
        BinposeError: where one of them cannot be read, or the source has no camera pose.
    """
    pose = camera_pose_of(source)
    if pose is None:
        raise BinposeError(f"Frame {source.name} has no camera pose; expected T_world_cam; see docs/several_views.md.")
    return CameraView(source.read(), pose)


def _outcome(
    source: FrameSource,
    frame: RgbdFrame,
    result: SceneResult,
    number: int,
    chosen: PoseFilter,
    objects: Mapping[str, ObjectModel],
    notes: tuple[str, ...],
) -> FrameOutcome:
    """A frame's own poses: those of the bin in its camera."""
    poses = result.in_cameras[number]
    kept, rejected = map(tuple, chosen.split(poses))
    detections = result.results[number].proposals.detections
    reason = None if kept else why_empty(frame, detections, poses, chosen.wanted(objects), chosen.threshold)
    return FrameOutcome(
        source.name, source.scene_id, source.image_id, kept, rejected, result.seconds(number), reason=reason,
        notes=tuple(dict.fromkeys(notes)), unexplained=result.unexplained[number],
    )  # fmt: skip


def _split(
    poses: Sequence[ScenePose], chosen: PoseFilter, objects: Mapping[str, ObjectModel]
) -> tuple[tuple[ScenePose, ...], tuple[ScenePose, ...]]:
    """The poses of wanted parts that reach the threshold, and those that do not."""
    wanted = [pose for pose in poses if pose.object_id in chosen.wanted(objects)]
    kept = tuple(pose for pose in wanted if pose.score >= chosen.threshold)
    return kept, tuple(pose for pose in wanted if not pose.score >= chosen.threshold)


class SceneDirectory:
    """Writes the files of the bins of a run."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def write(self, scene: SceneOutcome, overlay_png: bytes) -> None:
        """A bin's poses and picture."""
        directory = self.root / "scenes" / scene.name
        write_json(directory / "poses.json", scene_to_json(scene), indent=1, durable=False)
        write_bytes(directory / "overlay.png", overlay_png, durable=False)

    def read(self) -> list["StoredScene"]:
        """The bins of a run of which poses were estimated together.

        Raises:
            BinposeError: for a damaged file.
        """
        found = [_stored_scene(path) for path in sorted(self.root.glob("scenes/*/poses.json"))]
        return [scene for scene in found if len(scene.T_world_cam) > 1]

    def remove_stale(self, done: Collection[str]) -> None:
        """Remove our own files, and no others, of bins that this run does not have."""
        try:
            for folder in [path for path in self.root.glob("scenes/*") if path.is_dir() and path.name not in done]:
                for name in SCENE_FILES:
                    (folder / name).unlink(missing_ok=True)
                if not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            raise cannot_replace(error) from error


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A bin of a run on disk.

    T_world_cam: (4, 4) corrected camera pose by frame, of the frames that were used together.
    poses: that reach the run's threshold, and below it; `T_cam_obj` is the pose in the world.
    """

    name: str
    T_world_cam: Mapping[str, FloatArray]
    poses: tuple[PoseEstimate, ...]


def _stored_scene(path: Path) -> StoredScene:
    content, where = as_entry(read_json(path), str(path)), str(path)
    views = [view for view in as_entries(content.get("views"), where) if view.get("together") is True]
    cameras = {
        str(view.get("name")): finite_array(view.get("T_world_cam_corrected"), (4, 4), "T_world_cam_corrected", where)
        for view in views
    }
    entries = [*as_entries(content.get("poses"), where), *as_entries(content.get("rejected"), where)]
    poses = tuple(
        PoseEstimate(
            str(entry.get("object_id")),
            finite_array(entry.get("T_world_obj"), (4, 4), "T_world_obj", where),
            float(finite_array(entry.get("score"), (), "score", where)),
        )
        for entry in entries
    )
    return StoredScene(str(content.get("name")), cameras, poses)


def scene_to_json(scene: SceneOutcome) -> dict[str, Any]:
    """A bin as plain data: metres, world frame, quaternions as x, y, z, w."""
    result, names = scene.result, [view.name for view in scene.views]
    views = [
        {
            "name": name,
            "together": number in result.together,
            "T_world_cam": _rounded(scene.views[number].T_world_cam),
            "T_world_cam_corrected": _rounded(result.T_world_cam[number]),
            "correction_m": round(float(result.residuals.shift_m[number]), 6),
            "unexplained": known_fraction(result.unexplained[number]),
        }
        for number, name in enumerate(names)
    ]
    pairs = [
        {**asdict(pair), "first": names[pair.first], "second": names[pair.second]} for pair in result.residuals.pairs
    ]
    return {
        "name": scene.name,
        "notes": list(result.notes),
        "views": views,
        "pairs": pairs,
        "poses": [_world_pose(pose, scene) for pose in scene.poses],
        "rejected": [_world_pose(pose, scene) for pose in scene.rejected],
    }


def _world_pose(pose: ScenePose, scene: SceneOutcome) -> dict[str, Any]:
    """A pose in the world, and in each camera that is used."""
    names = [view.name for view in scene.views]
    cameras = {
        names[view]: _rounded(pose.in_camera(scene.result.T_world_cam[view]).T_cam_obj)
        for view in scene.result.together
    }
    covariance = None if pose.covariance is None else np.asarray(pose.covariance, np.float64).tolist()
    return {
        "object_id": pose.object_id,
        "score": float(pose.score),
        "T_world_obj": _rounded(pose.T_world_obj),
        "position_m": _rounded(pose.T_world_obj[:3, 3]),
        "quat_xyzw": _rounded(quat_xyzw_from_rotation(pose.T_world_obj[:3, :3])),
        "covariance": covariance,
        "proposed_by": [names[view] for view in pose.views],
        "visible": {names[v]: round(x, 3) for v, x in zip(scene.result.together, pose.visible, strict=True)},
        "T_cam_obj": cameras,
        "alternatives": [
            {
                "object_id": other.object_id,
                "probability": float(other.score),
                "T_world_obj": _rounded(other.T_world_obj),
            }
            for other in pose.alternatives
            if other.score >= LISTED_PROBABILITY
        ],
    }


def _rounded(values: Any) -> Any:
    return np.asarray(values, np.float64).round(9).tolist()
