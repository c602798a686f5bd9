"""The frozen labelled frames of a model's folder, on which no part may lose."""

from collections.abc import Callable, Mapping
from pathlib import Path

from binpose_core.base.workers import Workers
from binpose_core.evaluation.golden import golden_frames
from binpose_core.parts.catalogue import ObjectModel
from binpose_self_training.gate.anchors import AnchorFrame, stored_anchors
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.calibration import frame_truth

FOLDER = "anchors"
"""In a model's folder: simulated views that stay the same for all of its models."""
ANCHOR_SEED = 3_000_017
"""Of the bins, which no training, validation, calibration or replay uses."""


def frozen_anchors(
    store: Path,
    parts: Mapping[str, ObjectModel],
    scene: SceneConfig,
    workers: Workers | int,
    number: int,
    report: Callable[[int], object] = lambda done: None,
) -> list[AnchorFrame]:
    """The golden frames of a model store, and simulated views that are made once and then kept.

    Args:
        store: folder of the model store.
        parts: the model's objects by id.
        scene: the bins.
        workers: who simulates, or a number of processes.
        number: of simulated views; a folder that holds more is used as it is.
        report: called with the number of views after each.

    Raises:
        BinposeError: if the golden frames are damaged, or the disk is full.
    """
    views = ViewStore(store / FOLDER)
    if len(views) < number:
        with SimulationStream(parts, scene, ANCHOR_SEED, workers, start=len(views)) as stream:
            while len(views) < number:
                views.append(next(stream))
                report(len(views))
    simulated = [AnchorFrame(f"anchor_{index:06d}", view.frame, frame_truth(view)) for index, view in enumerate(views)]
    return [*stored_anchors(golden_frames(store)), *simulated]
