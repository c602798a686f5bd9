"""The refinement network as a stage of the training, after the pose network and on the same views."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from binpose_core.frames.types import LabelledView
from binpose_core.learning.weights import read_progress
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.network import RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_training import (
    TEACHING_FACES,
    RefinementTraining,
    init_network,
    train_refinement_network,
)

STAGE = "refinement"


def trained_refinement_network(
    views: Sequence[LabelledView],
    parts: Mapping[str, ObjectModel],
    config: RefinementTraining,
    seed: int,
    directory: Path,
    on_step: Callable[[float, Mapping[str, float]], None],
    start: PipelineBundle | None = None,
) -> RefinementNetwork:
    """The network, trained for as long as its settings say.

    Args:
        views: of the parts.
        parts: by id.
        config: of both signals.
        seed: of all that is drawn.
        directory: of the checkpoints, which an interrupted training is gone on from.
        on_step: called with the share done and the losses.
        start: a model whose refinement network this one begins with, where it has one.

    Raises:
        BinposeError: for a full disk, a damaged checkpoint, views without parts, and a start of another architecture.
    """
    torch.manual_seed(seed)
    part_renderer = PartRenderer(parts, TEACHING_FACES)
    begin = getattr(start.refiner, "network", None) if start is not None else None
    network = init_network(RefinementNetworkConfig(tuple(parts)), part_renderer, begin)
    checkpoint = directory / f"{STAGE}.safetensors"
    return train_refinement_network(
        network, part_renderer, views, config, seed, checkpoint, lambda _, share, losses: on_step(share, losses)
    )


def refinement_steps(directory: Path) -> int:
    """How many steps the network took with all signals."""
    return sum(read_progress(path).steps for path in directory.glob(f"{STAGE}_*.safetensors"))
