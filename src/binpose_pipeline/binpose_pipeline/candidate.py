"""Loading a model that may replace the one in use.

The gate of `binpose_self_training` decides about a candidate and records its verdict in the store. A version that it
has promoted over the model in use is loaded. Any other one must find at least as many parts on the store's golden
frames as the model in use.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from binpose_core.evaluation.golden import GoldenFrame, found_share, golden_frames
from binpose_core.frames.filters import PoseFilter
from binpose_core.learning.bundle import Checks, load_model
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.bundle import PipelineBundle, stored_pipeline
from binpose_pipeline.pipeline import Pipeline


def load_candidate(
    store: Path | str, version: str, current: PipelineBundle, chosen: PoseFilter | None = None, device: str = "cpu"
) -> PipelineBundle:
    """A version of a store that may replace the model in use.

    Args:
        store: folder of the model store, with golden frames in its folder `golden`.
        version: of the candidate, or its first digits.
        current: the model in use.
        chosen: which poses count as found.
        device: where the networks run and the refinement draws.

    Raises:
        ModelRefused: if it finds fewer parts than the model in use, and the gate has not promoted it over this model.
        BinposeError: if its files are damaged, or it lacks parts that the model in use knows.
    """
    frames = golden_frames(Path(store))
    checks = Checks[Pipeline](
        score=lambda pipeline, objects: golden_score(pipeline, objects, frames, chosen or PoseFilter())
    )
    build = partial(stored_pipeline, device=device)
    return load_model(store, version, build, checks, PipelineBundle, current)


def golden_score(
    pipeline: Pipeline, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame], chosen: PoseFilter
) -> float | None:
    """Fraction of the parts in golden frames that have a right reported pose; None without frames."""
    return found_share(
        frames,
        objects,
        lambda golden: [(pose.object_id, pose.T_cam_obj) for pose in chosen.reported(pipeline(golden.frame))],
    )
