"""After the step no view compiles a kernel, whatever its sensor is."""

import numpy as np
import pytest

from binpose_core.base.kernel_compilation import on_compilation
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.kernels import compile_kernels
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig, render_view, simulate_pile
from binpose_simulation.sensor import SENSOR_KINDS


@pytest.mark.parametrize("seed", [3])
def test_a_view_after_it_compiles_nothing(objects: tuple[ObjectModel, ...], seed: int) -> None:
    parts, config = {part.id: part for part in objects}, SceneConfig()
    compile_kernels(parts, config)
    compiled: list[str] = []
    with on_compilation(lambda _, name: compiled.append(name)):
        pile = simulate_pile(np.random.default_rng(seed), as_prepared(parts, config.content), config)
        seen = {render_view(pile, np.random.default_rng(number), config).sensor for number in range(4)}
    assert seen <= set(SENSOR_KINDS) and not compiled
