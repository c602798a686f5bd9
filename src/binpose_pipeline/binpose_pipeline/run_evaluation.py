"""A run on disk against the data set that it was made from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from binpose_core.base.errors import BadFile, BinposeError, UnknownObject
from binpose_core.base.files import read_json
from binpose_core.datasets.bop import BopDataset, BopFrame, BopModel
from binpose_core.datasets.bop_results import BopResult
from binpose_core.evaluation.matching import EvaluationConfig, FrameEvaluation, FrameTruth, GroundTruth, ground_truths
from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.meshes.mesh_files import load_mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.parts.symmetries import Symmetries
from binpose_pipeline.bundle import UNCALIBRATED
from binpose_pipeline.evaluation import EvaluationResult, PoseEvaluation
from binpose_pipeline.runs import RunDirectory
from binpose_pipeline.scene.bin_evaluation import BinEvaluation, BinFigures, joined_truth
from binpose_pipeline.scene.scene_runs import SceneDirectory
from binpose_refinement.config import RefinerConfig
from binpose_refinement.consistency import with_depth_agreement
from binpose_refinement.hypothesis_batch import PartRenderer

EVERY_FRAME = "*"
SAME_SIZE = 0.05
NO_REJECTED = "The run does not hold the poses below its threshold: the reliability diagram begins there."


@dataclass(frozen=True)
class EvaluatedFrame:
    """A frame, what is known and what was estimated; frame is None where its files cannot be read."""

    name: str
    frame: RgbdFrame | None
    truth: FrameTruth
    poses: tuple[PoseEstimate, ...]
    judged: FrameEvaluation


@dataclass
class RunEvaluator:
    """Evaluates the frames of a run one after the other.

    Attributes:
        names: object id of the run by number of the data set's model.
        notes: what a reader of the figures should know.
    """

    run: RunDirectory
    dataset: BopDataset
    split: str
    config: EvaluationConfig
    regions: Mapping[str, Region] = field(default_factory=dict)
    complete: Collection[str] | str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        record = self.run.read_record()
        self._results = self.run.read_results()
        if not record.calibrated:
            self.notes.append(UNCALIBRATED)
        self.names = matched_objects(record.objects, self.dataset, record.diameters_m)
        pairs = [(name, self.dataset.model(number).object_id) for number, name in self.names.items()]
        by_number = [f"{name} is {theirs}" for name, theirs in pairs if name != theirs]
        if by_number:
            self.notes.append(f"Matched by their numbers, as the names differ: {', '.join(by_number)}.")
        unmatched = [name for name in record.objects if name not in self.names.values()]
        if unmatched:
            self.notes.append(f"Not in the data set and not evaluated: {', '.join(unmatched)}.")
        self._run_names = {number: name for name, number in record.objects.items()}
        self.objects = {name: dataset_object(self.dataset.model(number), name) for number, name in self.names.items()}
        self._evaluation = PoseEvaluation(self.objects, self.config)
        self._part_renderer = PartRenderer(self.objects, (RefinerConfig.verify_faces,))
        self.frames = self._frames(record.frames)
        self.complete = self._complete_objects()

    def add(self, source: BopFrame) -> EvaluatedFrame:
        """Judge a frame. One that cannot be read counts as seen without any estimate."""
        parts, name, complete = self._ground_truths(source), source.name, self._annotated()
        try:
            frame = source.read()
        except BinposeError as error:
            self.notes.append(f"Frame {name} counts as missed: {error}")
            truth = FrameTruth(parts, complete)
            return EvaluatedFrame(name, None, truth, (), self._evaluation.miss(name, truth))
        region = self.regions.get(name, self.regions.get(EVERY_FRAME))
        truth = FrameTruth(parts, complete, region, frame.camera)
        poses = with_depth_agreement(frame, (*self._poses(source), *self._rejected(name)), self._part_renderer)
        judged = self._evaluation.add(name, truth, poses, frame.camera, frame.depth_m)
        return EvaluatedFrame(name, frame, truth, tuple(poses), judged)

    def result(self) -> EvaluationResult:
        """The figures of all frames so far."""
        return self._evaluation.result()

    def bins(self) -> BinFigures | None:
        """The figures of the poses that several views give together; None for a run without them."""
        evaluation = BinEvaluation(self.objects, self.config)
        sources = {source.name: source for source in self.frames}
        for scene in SceneDirectory(self.run.root).read():
            names = [name for name in scene.T_world_cam if name in sources]
            if not names:
                continue
            places, parts = [scene.T_world_cam[n] for n in names], [self._ground_truths(sources[n]) for n in names]
            truth = FrameTruth(joined_truth(places, parts, self.objects), self._annotated())
            evaluation.add(scene.name, truth, [pose for pose in scene.poses if pose.object_id in self.objects])
        return evaluation.result() if evaluation.frames else None

    def _annotated(self) -> tuple[str, ...] | None:
        """The objects of which every visible part is annotated; None for all."""
        return None if self.complete == "all" else tuple(self.complete or ())

    def _frames(self, processed: Mapping[str, object]) -> list[BopFrame]:
        """The frames of the split that the run has gone through."""
        frames = list(self.dataset.frames(self.split))
        chosen = [frame for frame in frames if frame.name in processed]
        if not chosen:
            raise BinposeError(
                f"None of the {len(frames)} frames of split {self.split!r} in {self.dataset.root} is in the run "
                f"{self.run.root}; expected the data set and split that it was made from."
            )
        if len(chosen) < len(frames):
            self.notes.append(
                f"The run holds {len(chosen)} of the split's {len(frames)} frames; only they are evaluated."
            )
        return chosen

    def _complete_objects(self) -> Collection[str] | str:
        """Objects of which everything is annotated: as told, or all unless the data set states confidences."""
        if self.complete is not None:
            unknown = [] if self.complete == "all" else [n for n in self.complete if n not in self.objects]
            if unknown:
                raise UnknownObject(
                    f"--complete names {', '.join(unknown)}; known: {', '.join(self.objects)}; or give all.",
                    unknown,
                    self.objects,
                )
            return self.complete
        stated = any("annotation_confidence" in part.info for frame in self.frames for part in frame.ground_truth())
        if stated:
            self.notes.append(
                "The annotations may be incomplete: an estimate without a counterpart is unknown, not wrong, and "
                "there is no precision."
            )
        return () if stated else "all"

    def _ground_truths(self, source: BopFrame) -> list[GroundTruth]:
        """The annotated parts of the run's objects, under the run's names."""
        annotations = source.ground_truth()
        renamed = []
        for annotation, part in zip(annotations, ground_truths(source), strict=True):
            if annotation.obj_id in self.names:
                name = self.names[annotation.obj_id]
                renamed.append(GroundTruth(name, part.T_cam_obj, part.visible_fraction, part.ignored))
        return renamed

    def _poses(self, source: BopFrame) -> tuple[PoseEstimate, ...]:
        return tuple(
            PoseEstimate(self._name_of(result), result.T_cam_obj, result.score)
            for result in self._results
            if (result.scene_id, result.image_id) == (source.scene_id, source.image_id)
            and self._name_of(result) in self.objects
        )

    def _rejected(self, name: str) -> list[PoseEstimate]:
        """What scored too low to be reported; it enters the reliability diagram alone."""
        poses = self.run.read_rejected(name)
        if poses is None and NO_REJECTED not in self.notes and self.run.frame_directory(name).is_dir():
            self.notes.append(NO_REJECTED)
        return [pose for pose in poses or () if pose.object_id in self.objects]

    def _name_of(self, result: BopResult) -> str:
        if result.obj_id not in self._run_names:
            raise BinposeError(
                f"results.csv of {self.run.root} has obj_id {result.obj_id}, which its run.json does not name; "
                f"expected {', '.join(map(str, self._run_names))}; run `binpose estimate` again."
            )
        return self._run_names[result.obj_id]


def matched_objects(
    numbers: Mapping[str, int], dataset: BopDataset, diameters_m: Mapping[str, float]
) -> dict[int, str]:
    """The run's object ids by number of the data set's model: by name, else by number.

    A number alone is trusted only where the data set's model has no name, or one that the run does not know, and is of
    the same size, as far as both sizes are told.

    Raises:
        BinposeError: when no object matches.
    """
    by_name = {model.object_id: number for number, model in dataset.models.items()}
    matched = {by_name[name]: name for name in numbers if name in by_name}

    def same_size(name: str, number: int) -> bool:
        theirs = dataset.models[number].diameter_m
        return abs(diameters_m.get(name, theirs) - theirs) <= SAME_SIZE * theirs if np.isfinite(theirs) else True

    for name, number in numbers.items():
        if name not in by_name and number in dataset.models and number not in matched and same_size(name, number):
            matched[number] = name
    if not matched:
        known = ", ".join(model.object_id for model in dataset.models.values()) or "none"
        raise BinposeError(
            f"The run's objects ({', '.join(numbers)}) are not among the models of {dataset.root} ({known}); expected "
            "the same names or numbers (obj_000001.ply)."
        )
    return dict(sorted(matched.items()))


def dataset_object(model: BopModel, object_id: str) -> ObjectModel:
    """The part of a data set's mesh. Its symmetries are those that models_info.json lists, else those of the mesh."""
    listed = Symmetries.from_bop(model.info)
    some = len(listed.discrete) > 1 or listed.continuous
    mesh = load_mesh(model.path, unit="mm", allow_odd_size=True)
    return make_object(mesh, object_id, model.obj_id, symmetries=listed if some else None)


def read_regions(path: Path) -> dict[str, Region]:
    """Regions of the image by frame name, in pixels; the name "*" stands for every frame.

    Raises:
        BinposeError: for a file that holds anything else.
    """
    content = read_json(path)
    try:
        return {
            str(name): Region([np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
            for name, polygons in content.items()
        }
    except (AttributeError, TypeError, ValueError, BinposeError) as error:
        raise BadFile(
            f'{path} does not hold regions ({error}); expected {{"000014_000000": [[[u, v], [u, v], [u, v]], ...]}} '
            "with polygons in pixels.",
            path,
        ) from error
