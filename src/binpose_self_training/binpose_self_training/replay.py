"""Views that a student learns beside the new ones, so that it forgets nothing: simulated ones, and earlier labels."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.config_tree import with_values
from binpose_core.base.workers import Workers
from binpose_core.frames.types import LabelledView
from binpose_core.parts.catalogue import ObjectModel
from binpose_self_training.student import joined_views
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.training_scene import training_scene

REPLAY_SEED = 2_000_003
"""Added to the seed: other bins than those of a training, its validation and its calibration."""
FOLDER = "replay"
"""In a model's folder: labelled views of earlier self-trainings."""


def scene_of(header: Mapping[str, Any], parts: Mapping[str, ObjectModel], gsd_m: float) -> SceneConfig:
    """The bins that a model was trained on, from its header; default bins where it has none."""
    values = header.get("training", {}).get("simulation", {}).get("scene", {})
    return training_scene(with_values(SceneConfig(), values), gsd_m, len(parts))


def simulated_replay(
    store: ViewStore,
    parts: Mapping[str, ObjectModel],
    scene: SceneConfig,
    seed: int,
    workers: Workers | int,
    number: int,
    report: Callable[[int], object] = lambda done: None,
) -> ViewStore:
    """The store with `number` simulated views; resumes an interrupted simulation.

    Args:
        store: of the run.
        parts: the model's objects by id.
        scene: the bins.
        seed: of the self-training.
        workers: who simulates, or a number of processes.
        number: of views.
        report: called with the number of views after each.
    """
    if len(store) >= number:
        return store
    with SimulationStream(parts, scene, seed + REPLAY_SEED, workers, start=len(store)) as stream:
        while len(store) < number:
            store.append(next(stream))
            report(len(store))
    return store


def keep_for_replay(model: Path, views: Sequence[LabelledView], most: int, seed: int) -> int:
    """Put labelled views of a finished self-training into the model's folder; returns how many it holds then.

    The folder is bounded: views are chosen from the old and the new ones alike, those with rare parts first.

    Args:
        model: folder of the model store.
        views: pseudo-labelled.
        most: largest number of views.
        seed: of the choice among equal ones.
    """
    folder, fresh = model / FOLDER, model / f"{FOLDER}.new"
    _finish_exchange(folder)
    candidates = joined_views(ViewStore(folder), views)
    chosen = balanced_choice(candidates, most, seed)
    shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
    store = ViewStore(fresh)
    for index in chosen:
        store.append(candidates[index])
    if chosen:
        _exchange(folder, fresh)
    return len(chosen)


def balanced_choice(views: Sequence[LabelledView], most: int, seed: int) -> list[int]:
    """Indices of at most `most` views with known poses, so that rare parts are in as many of them as possible."""
    rng = np.random.default_rng(seed)
    parts = [[name for name, known in zip(v.object_ids, v.pose_known, strict=True) if known] for v in views]
    totals = Counter(name for names in parts for name in names)
    worth = np.array([sum(1.0 / totals[name] for name in names) for names in parts])
    order = np.argsort(-worth * rng.uniform(0.5, 1.0, len(worth)), kind="stable")[:most]
    return sorted(int(index) for index in order if worth[index] > 0)


def _exchange(folder: Path, fresh: Path) -> None:
    """Put a complete folder in the place of another."""
    old = _old(folder)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _finish_exchange(folder: Path) -> None:
    """Take the old folder again, where a killed process left none in its place."""
    if _old(folder).exists() and not folder.exists():
        _old(folder).rename(folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")
