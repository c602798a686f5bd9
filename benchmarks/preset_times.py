"""Parameters, megabytes and milliseconds for ten crops of each pose preset, from crops to decoded poses.

python benchmarks/preset_times.py [--presets dcnet densefusion] [--repeats 9]
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from binpose_core.base.threads import limit_threads
from binpose_core.learning.weights import to_arrays
from binpose_estimator.crops import CropInputs
from binpose_estimator.network import PoseNetwork
from binpose_estimator.presets import find_preset, known_presets
from common import heading, spread, table

CROPS, PARTS = 10, 10


@dataclass(frozen=True)
class Arguments:
    """presets: names; all known ones where none is given. repeats: measurements of each, after two warm-ups."""

    presets: tuple[str, ...] = ()
    repeats: int = 9


def main(arguments: Arguments) -> None:
    """Measure the presets in turn and print the table."""
    limit_threads(1)
    heading(f"{CROPS} crops of {PARTS} parts: network and decoding on one thread")
    names = arguments.presets or tuple(known_presets())
    cases = {name: case(name) for name in names}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for repeat in range(arguments.repeats + 2):
        for name in names:
            measured = timed(*cases[name])
            if repeat >= 2:
                times[name].append(measured)
    rows = []
    for name in names:
        arrays = to_arrays(cases[name][0])
        parameters = sum(weight.numel() for weight in cases[name][0].parameters())
        megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
        cpu, wall = np.array(times[name]).T
        rows.append([name, f"{parameters / 1e6:.2f} M", f"{megabytes:.1f}", spread(cpu, 1e-3), spread(wall, 1e-3)])
    table(["preset", "parameters", "MB", "ms of processor time, median (10th-90th percentile)", "ms elapsed"], rows)


def case(name: str) -> tuple[PoseNetwork, CropInputs]:
    """An untrained network and crops full of points."""
    preset = find_preset(name)()
    torch.manual_seed(0)
    size = preset.content.size_px
    x = torch.rand(CROPS, preset.content.channels, size, size).to(memory_format=torch.channels_last)
    network = preset.network(PARTS).eval().to(memory_format=torch.channels_last)
    return network, CropInputs(preset.content, x, torch.full((CROPS,), 10.0))


def timed(network: PoseNetwork, inputs: CropInputs) -> tuple[float, float]:
    """Processor time and elapsed time in seconds of one pass."""
    elapsed, used = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        prediction = network(inputs.x, torch.arange(CROPS) % PARTS)
    network.decode(prediction, inputs, [])
    return time.process_time() - used, time.perf_counter() - elapsed


if __name__ == "__main__":
    main(tyro.cli(Arguments))
