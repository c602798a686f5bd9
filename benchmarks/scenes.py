"""The bins on which the benchmarks measure. Their seeds are used for nothing else: not for training, not for tuning.

The first bins of EVALUATION_SEED are stored as physics settled them, since it settles otherwise on another processor;
`python benchmarks/store_bins.py` made the file. Others are settled on the machine that asks for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view, simulate_pile
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.stored_bins import StoredBin, read_bins, stored_parts
from binpose_simulation.stream import PILES, VIEWS, SimulationStream

EVALUATION_SEED = 424_242
TUNING_SEED = 515_151
"""Of the bins on which settings of other people's methods are chosen."""
PARTS = (10, 20)
STORED = Path(__file__).with_name("bins.npz")


def unseen_views(
    objects: Mapping[str, ObjectModel],
    count: int,
    parts: tuple[int, int] = PARTS,
    workers: int = 2,
    seed: int = EVALUATION_SEED,
    sensor: SensorConfig | None = None,
) -> list[SimulatedView]:
    """Frames of 640x480 of `count` different piles, each one bin with 10 to 20 parts of all types, no two alike."""
    scene = scene_of(objects, parts, sensor)
    stored = stored_bins(objects, scene) if (parts, seed) == (PARTS, EVALUATION_SEED) else []
    views = list(islice(stored_views(stored, scene, seed), count))
    if len(views) < count:
        with SimulationStream(objects, scene, seed, workers, start=len(views)) as stream:
            views += [next(stream) for _ in range(count - len(views))]
    return views


def scene_of(
    objects: Mapping[str, ObjectModel], parts: tuple[int, int] = PARTS, sensor: SensorConfig | None = None
) -> SceneConfig:
    """The settings of the benchmarks' bins."""
    content = ContentConfig(parts=parts, mixed_share=1.0, types=(len(objects), len(objects)), row_share=0.0)
    return replace(SceneConfig(), content=content, views_per_pile=1, sensor=sensor or SensorConfig())


def stored_bins(objects: Mapping[str, ObjectModel], scene: SceneConfig) -> list[StoredBin]:
    """The stored bins; none where they hold other parts."""
    if stored_parts(STORED) != {name: model.digest for name, model in objects.items()}:
        print(f"The bins of {STORED.name} hold other parts; these are settled here and may differ by processor.\n")
        return []
    return read_bins(STORED, objects, scene.content)


def settled_bins(objects: Mapping[str, ObjectModel], scene: SceneConfig, count: int, seed: int) -> Iterator[StoredBin]:
    """The first bins of a seed as physics settles them on this machine, with the viewpoints of their views."""
    parts = as_prepared(objects, scene.content)
    for number in range(count):
        pile = simulate_pile(np.random.default_rng([seed, PILES, number]), parts, scene)
        view = render_view(pile, np.random.default_rng([seed, VIEWS, number]), scene)
        yield StoredBin(pile, view.frame.camera, view.T_cam_world)


def stored_views(bins: list[StoredBin], scene: SceneConfig, seed: int = EVALUATION_SEED) -> Iterator[SimulatedView]:
    """The view of each bin, as the stream of the seed shows it."""
    for number, stored in enumerate(bins):
        rng = np.random.default_rng([seed, VIEWS, number])
        yield render_view(stored.pile, rng, scene, stored.camera, stored.T_cam_world)
