"""The refinement network as a stage of the training, after the pose network and on the same views."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from binpose_core.frames.types import LabelledView
from binpose_core.learning.hooks import Hook
from binpose_core.parts.catalogue import ObjectModel
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.network import RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_training import (
    TEACHING_FACES,
    RefinementTraining,
    init_network,
    train_refinement_network,
)


def trained_refinement_network(
    views: Sequence[LabelledView],
    parts: Mapping[str, ObjectModel],
    config: RefinementTraining,
    seed: int,
    checkpoint: Path,
    hooks_of: Callable[[str], Sequence[Hook]],
    start: RefinementNetwork | None = None,
) -> RefinementNetwork:
    """The network, trained for as long as its settings say.

    Args:
        views: of the parts.
        parts: by id.
        config: of both signals.
        seed: of all that is drawn.
        checkpoint: where an interrupted training resumes from, one file for each signal.
        hooks_of: the hooks of the training loop of a signal, by its name.
        start: a network that this one begins with.

    Raises:
        BinposeError: for a full disk, a damaged checkpoint, views without parts, and a start of another architecture.
    """
    torch.manual_seed(seed)
    part_renderer = PartRenderer(parts, TEACHING_FACES)
    network = init_network(RefinementNetworkConfig(tuple(parts)), part_renderer, start)
    return train_refinement_network(network, part_renderer, views, config, seed, checkpoint, hooks_of)
