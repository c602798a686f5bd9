"""The joint poses of bins against their parts, each counted once and not in every view."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from binpose_core.evaluation.matching import EvaluationConfig, Evaluator, FrameEvaluation, FrameTruth, GroundTruth
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.evaluation.scores import summarise
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.run_checks import counted
from binpose_refinement.suppression import SAME_CENTER


@dataclass(frozen=True)
class BinFigures:
    """The figures of all bins: parts that count in at least one view, and reported poses.

    precision, average_precision: None where not every part is annotated. median_error: of the diameter.
    """

    bins: int
    parts: int
    found: int
    recall: float
    precision: float | None
    average_precision: float | None
    median_error: float

    def to_json(self) -> dict[str, Any]:
        """As plain data; None in place of what is not known."""
        return {name: value if value == value else None for name, value in asdict(self).items()}

    @property
    def sentence(self) -> str:
        """The figures in words."""
        right = "" if self.precision is None else f"; {self.precision:.1%} of the joint poses are right"
        return (
            f"Joint poses of {counted(self.bins, 'bin')}, each part once: {self.found} of "
            f"{counted(self.parts, 'part')} that count in one of the views are found ({self.recall:.1%}){right}."
        )


class BinEvaluation:
    """Takes bins one after the other; `result` sums them up.

    Args:
        objects: the parts by id.
        config: when a pose is right, and which parts count.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: EvaluationConfig) -> None:
        self._objects, self._config = objects, config
        self._evaluator = Evaluator({name: PartErrors(part) for name, part in objects.items()}, config)
        self.frames: list[FrameEvaluation] = []

    def add(self, name: str, truth: FrameTruth, poses: Sequence[PoseEstimate]) -> FrameEvaluation:
        """Judge a bin's poses; they and the truth, from `joined_truth`, in one frame."""
        self.frames.append(self._evaluator(name, truth, poses))
        return self.frames[-1]

    def result(self) -> BinFigures:
        """The figures of all bins so far."""
        score = summarise(self.frames, self._config).overall
        area = None if score.curve is None else float(score.curve.average_precision)
        return BinFigures(
            len(self.frames), score.n_parts, score.n_found, score.recall, score.precision, area, score.median_error
        )


def joined_truth(
    T_world_cam: Sequence[FloatArray], parts: Sequence[Sequence[GroundTruth]], objects: Mapping[str, ObjectModel]
) -> list[GroundTruth]:
    """The parts of a bin in the world, each once, as the view that sees most of it shows it.

    Args:
        T_world_cam: (4, 4) of each view.
        parts: of each view, in its camera.
        objects: the parts by id.
    """
    found: list[GroundTruth] = []
    for T, own in zip(T_world_cam, parts, strict=True):
        for part in own:
            here = replace(part, T_cam_obj=T @ part.T_cam_obj)
            same = [k for k, other in enumerate(found) if _is_same(here, other, objects[part.object_id])]
            if not same:
                found.append(here)
            elif not part.visible_fraction <= found[same[0]].visible_fraction:
                found[same[0]] = here
    return found


def _is_same(one: GroundTruth, other: GroundTruth, part: ObjectModel) -> bool:
    if one.object_id != other.object_id:
        return False
    centers = part.center_in(np.stack([one.T_cam_obj, other.T_cam_obj]))
    return float(np.linalg.norm(centers[0] - centers[1])) < SAME_CENTER * part.diameter_m
