"""A pipeline run over many frames, where a bad one is reported and the others go on."""

from collections.abc import Iterable, Iterator, Mapping

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.folder import FrameSource
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.pipeline import Pipeline
from binpose_pipeline.runs import FrameOutcome


def estimate_frames(
    pipeline: Pipeline,
    sources: Iterable[FrameSource],
    chosen: PoseFilter,
    objects: Mapping[str, ObjectModel],
) -> Iterator[tuple[FrameOutcome, RgbdFrame | None]]:
    """The outcome of each frame in turn, and the frame itself where it could be read.

    Args:
        pipeline: of the model.
        sources: the frames, read one after the other.
        chosen: which poses are reported.
        objects: the model's, by id.
    """
    wanted = chosen.wanted(objects)
    for source in sources:
        numbers = (source.scene_id, source.image_id)
        frame: RgbdFrame | None = None
        try:
            frame = source.read()
            result = pipeline.timed(frame)
        except BinposeError as error:
            yield FrameOutcome(source.name, *numbers, error=str(error)), frame
            continue
        kept, rejected = map(tuple, chosen.split(result.poses))
        detections = result.proposals.detections
        reason = None if kept else why_empty(frame, detections, result.poses, wanted, chosen.threshold)
        outcome = FrameOutcome(
            source.name,
            *numbers,
            kept,
            rejected,
            result.seconds,
            reason=reason,
            notes=frame.notes,
            unexplained=result.unexplained,
        )
        yield outcome, frame
