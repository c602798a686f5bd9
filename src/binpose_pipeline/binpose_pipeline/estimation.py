"""A pipeline run over many frames, where a bad one is reported and the others go on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.datasets.folder import FrameSource
from binpose_core.evaluation.matching import EvaluationConfig
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.pipeline import Pipeline
from binpose_pipeline.runs import FrameOutcome


@dataclass(frozen=True)
class EstimationConfig:
    """Which poses are kept.

    threshold: least score; the score is the probability that the pose is right.
    objects: ids of the parts to report, all when empty. The other parts of the model are looked for all
        the same, because what they explain cannot be mistaken for a wanted part.
    """

    threshold: float = EvaluationConfig.score_threshold
    objects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise BinposeError(f"threshold must be between 0 and 1, got {self.threshold}; it is a probability.")


def check_objects(wanted: Sequence[str], known: Sequence[str], model: str) -> None:
    """Refuse ids that the model does not know.

    Raises:
        BinposeError: naming them and the known ones.
    """
    unknown = [object_id for object_id in wanted if object_id not in known]
    if unknown:
        raise UnknownObject(
            f"The model {model} does not know {', '.join(map(repr, unknown))}; known: {', '.join(known)}. "
            "Train a model for them with `binpose train --objects`.",
            unknown,
            known,
        )


def estimate_frames(
    pipeline: Pipeline,
    sources: Iterable[FrameSource],
    config: EstimationConfig,
    objects: Mapping[str, ObjectModel],
) -> Iterator[tuple[FrameOutcome, RgbdFrame | None]]:
    """The outcome of each frame in turn, and the frame itself where it could be read; objects: the model's, by id."""
    reported = {name: part for name, part in objects.items() if not config.objects or name in config.objects}
    for source in sources:
        numbers = (source.scene_id, source.image_id)
        frame: RgbdFrame | None = None
        try:
            frame = source.read()
            poses, seconds, detections = pipeline.timed(frame)
        except BinposeError as error:
            yield FrameOutcome(source.name, *numbers, error=str(error)), frame
            continue
        wanted = [pose for pose in poses if pose.object_id in reported]
        kept = tuple(pose for pose in wanted if pose.score >= config.threshold)
        rejected = tuple(pose for pose in wanted if pose.score < config.threshold)
        reason = None if kept else why_empty(frame, detections, poses, reported, config.threshold)
        yield FrameOutcome(source.name, *numbers, kept, rejected, seconds, reason=reason, notes=frame.notes), frame
