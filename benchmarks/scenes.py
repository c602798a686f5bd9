"""The bins on which the benchmarks measure. Their seeds are used for nothing else: not for training, not for tuning."""

from collections.abc import Mapping
from dataclasses import replace

from binpose_core.catalogue import ObjectModel
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.scene import SceneConfig, SimulatedView
from binpose_simulation.stream import SimulationStream

EVALUATION_SEED = 424_242
TUNING_SEED = 515_151
"""Of the bins on which settings of other people's methods are chosen."""


def unseen_views(
    objects: Mapping[str, ObjectModel],
    count: int,
    parts: tuple[int, int] = (10, 20),
    workers: int = 2,
    seed: int = EVALUATION_SEED,
) -> list[SimulatedView]:
    """Frames of 640x480 of `count` different piles, each one bin with 10 to 20 parts of all types, no two alike."""
    scene = SceneConfig()
    content = ContentConfig(parts=parts, mixed_share=1.0, types=(len(objects), len(objects)), row_share=0.0)
    scene = replace(scene, content=content, views_per_pile=1)
    with SimulationStream(objects, scene, seed, workers) as stream:
        return [next(stream) for _ in range(count)]
