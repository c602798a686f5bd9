"""The measuring process of `training_rate.py`: simulates with the binpose that is on its path."""

import functools
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from binpose_core.learning.loop_config import LoopConfig
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_detection.segmenter import SegmenterConfig
from binpose_detection.training import BatchSampler, SegmentationTrainingConfig, train_segmenter
from binpose_estimator.crop_pool import crop_pool
from binpose_estimator.estimator import EstimatorConfig
from binpose_estimator.training import sample_batch, train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_simulation import kernels
from binpose_simulation.parts import PART_NAMES, make_part
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig, SimulatedView
from binpose_simulation.stream import views
from binpose_simulation.view_store import ViewStore
from binpose_training.training_scene import training_scene, working_gsd_m

STEPS = 6
STAGES = {
    "piles: bins, meshes, assembly": ("binpose_simulation.stream", "simulate_pile"),
    "physics": ("binpose_simulation.pile", "settle"),
    "viewpoint, rest of a view": ("binpose_simulation.stream", "render_view"),
    "rasteriser": ("binpose_core.rendering.numba_backend:NumbaBackend", "draw"),
    "normals and coordinates": ("binpose_simulation.gbuffer", "_fill"),
    "materials, environment, occlusion": ("binpose_simulation.scene", "shade"),
    "shading": ("binpose_simulation.lit_scene", "reflect_light"),
    "shadows": ("binpose_simulation.appearance", "shadow"),
    "mirrors": ("binpose_simulation.appearance", "mirrored"),
    "camera image": ("binpose_simulation.appearance", "photograph"),
    "depth sensor": ("binpose_simulation.depth_sensor:DepthSensor", "apply"),
    "truth": ("binpose_simulation.scene", "_with_truth"),
}
"""Name of a stage -> the function whose own time, without that of other stages in it, is counted."""


class Clock:
    """Own processor seconds of nested functions by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is counted."""

        @functools.wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            began = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **named)
            finally:
                spent = time.process_time() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inside.pop()
                if self._inside:
                    self._inside[-1] += spent

        return timed


def wrap_stages(clock: Clock) -> None:
    """Count the time of all stages."""
    for name, (place, attribute) in STAGES.items():
        module, _, owner = place.partition(":")
        target = importlib.import_module(module)
        target = getattr(target, owner) if owner else target
        setattr(target, attribute, clock.wrap(name, getattr(target, attribute)))


def statistics(view: SimulatedView) -> dict[str, float]:
    """Figures of one view, those of the depth by kind of sensor."""
    depth, clean = view.frame.depth_m, view.depth_clean_m
    assert depth is not None
    on_part = (view.instance_ids >= 0) & (clean > 0)
    seen = on_part & (depth > 0)
    found = {
        "parts in a view": float(len(view.object_ids)),
        "parts at least half visible": float((view.visible_fraction >= 0.5).sum()),
        "fraction of pixels on parts": float((view.instance_ids >= 0).mean()),
        "mean brightness": float(view.frame.gray.mean()),
    }
    if len(view.object_ids):
        found["visible fraction"] = float(view.visible_fraction.mean())
    if on_part.any():
        found[f"missing depth on parts, {view.sensor}"] = 1.0 - float(seen.sum() / on_part.sum())
    if seen.any():
        found[f"median depth error on parts, mm, {view.sensor}"] = 1e3 * float(np.median(np.abs(depth - clean)[seen]))
    return found


class Simulation:
    """The views of a training, with the time of their stages."""

    def __init__(self, objects: dict[str, ObjectModel], seed: int) -> None:
        scene = training_scene(SceneConfig(), working_gsd_m([*objects.values()]), len(objects))
        parts = as_prepared(objects, scene.content)
        kernels.compile_kernels(objects, scene)
        for _ in views(parts, scene, seed + 1, range(scene.views_per_pile + 1)):
            pass
        self._clock, self._per_pile, self._position = Clock(), scene.views_per_pile, 0
        wrap_stages(self._clock)
        self._views: Iterator[SimulatedView] = views(parts, scene, seed, range(1_000_000))
        self._folder = Path(tempfile.mkdtemp())
        self.store = ViewStore(self._folder / "views")

    def run(self, number: int) -> dict[str, Any]:
        """Simulate and store so many views."""
        self._clock.seconds.clear()
        data: dict[str, list[float]] = {}
        append, spent = self._clock.wrap("view store", self.store.append), 0.0
        for _ in range(number):
            began = time.process_time()
            view = next(self._views)
            append(view)
            spent += time.process_time() - began
            for name, value in statistics(view).items():
                data.setdefault(name, []).append(value)
        piles = number / self._per_pile
        return {"views": number, "piles": piles, "seconds": spent, "stages": dict(self._clock.seconds), "data": data}


def networks(store: ViewStore, objects: dict[str, ObjectModel]) -> dict[str, float]:
    """Milliseconds of the batches and of the steps, and samples per second."""
    gsd_m, loop = working_gsd_m([*objects.values()]), LoopConfig(steps=STEPS)
    found: dict[str, float] = {}
    detector, training = SegmenterConfig(tuple(objects), gsd_m=gsd_m), SegmentationTrainingConfig(loop=loop)
    sampler = BatchSampler(store, objects, detector, training, 0)
    found["detector: batch, ms"] = _ms(sampler)
    found["detector: batch and step, ms"] = _ms_per_step(
        lambda steps: train_segmenter(store, objects, detector, SegmentationTrainingConfig(loop=steps), 0)
    )
    samples = training.views * training.crops
    found["detector: crops per processor s"] = 1e3 * samples / found["detector: batch and step, ms"]
    estimator, poses = EstimatorConfig(tuple(objects), gsd_m=gsd_m), PoseTrainingConfig(loop=loop)
    began = time.process_time()
    pool = crop_pool(store, objects, estimator, poses, 0)
    found["pose: cutting the crops of a view, ms"] = 1e3 * (time.process_time() - began) / len(store)
    found["pose: batch, ms"] = _ms(lambda number: sample_batch(pool, poses, np.random.default_rng(number)))
    found["pose: batch and step, ms"] = _ms_per_step(
        lambda steps: train_estimator(store, objects, estimator, PoseTrainingConfig(loop=steps), 0)
    )
    found["pose: crops per processor s"] = 1e3 * poses.batch_size / found["pose: batch and step, ms"]
    return found


def _ms(make: Callable[[int], object]) -> float:
    make(0)
    began = time.process_time()
    for number in range(STEPS):
        make(number)
    return 1e3 * (time.process_time() - began) / STEPS


def _ms_per_step(train: Callable[[LoopConfig], object]) -> float:
    """By the difference between a long and a short training, in which all else is equal."""
    spent = []
    for steps in (2, 2 + STEPS):
        began = time.process_time()
        train(LoopConfig(steps=steps))
        spent.append(time.process_time() - began)
    return 1e3 * (spent[1] - spent[0]) / STEPS


def main() -> None:
    """Answer requests, one JSON value a line."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    number, seed = int(sys.argv[1]), int(sys.argv[2])
    objects = {name: make_object(make_part(name), name, i + 1) for i, name in enumerate(PART_NAMES[:number])}
    simulation = Simulation(objects, seed)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request, *values = line.split()
        answer = simulation.run(int(values[0])) if request == "views" else networks(simulation.store, objects)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
