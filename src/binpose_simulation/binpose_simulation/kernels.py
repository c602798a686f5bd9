"""Compiles the simulation's kernels before the workers start."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig, render_view, simulate_pile
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig


def compile_kernels(objects: Mapping[str, ObjectModel], config: SceneConfig | None = None) -> None:
    """Simulate one view of a pile of the first part with each kind of depth sensor.

    Args:
        objects: the parts by id.
        config: of the scenes that will be simulated.
    """
    config = config or SceneConfig()
    name, part = next(iter(objects.items()))
    config = replace(config, content=replace(config.content, parts=(1, 2)))
    pile = simulate_pile(np.random.default_rng(0), as_prepared({name: part}, config.content), config)
    for kind in SENSOR_KINDS:
        render_view(pile, np.random.default_rng(0), replace(config, sensor=SensorConfig.only(kind)))
