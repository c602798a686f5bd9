"""All pose estimators side by side: the same generated parts, frames, masks and budget of crops for each.

python benchmarks/estimators.py [--parts 8] [--presets default dcnet ...] [--samples 20000] [--out runs/estimators]

Parts come from the generator of the simulation. Each row trains one network from random weights on the same simulated
views. It is tested on other views with true masks, whose centres are as far off as those of detections. `first` is the
estimator's own first pose, `refined` the pose after ICP and verification of all hypotheses. A pose is right if its
ADD(-S) is below 10 % of the diameter. Rows that are done are kept in <out>; the same command continues.

A preset may be followed by its settings: `default:conditioning=film`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from binpose_core.base.files import write_bytes
from binpose_core.base.settings import check_bounds, setting
from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.evaluation.matching import HALF_VISIBLE, right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import Detection, LabelledView, PoseEstimate
from binpose_core.geometry.transforms import transform
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.presets import Preset, find_preset, known_presets
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_simulation.parts.generator import generated_part
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from common import heading, spread, table
from scenes import scene_of

TRAINING_SEED, TEST_SEED, WEIGHTS_SEED = 740_011, 740_029, 5
"""Used for nothing else."""
REPEATS, CROPS = 9, 10
HEADER = [
    "preset",
    "parameters",
    "MB",
    "ms for ten parts",
    "first",
    "refined",
    "a hypothesis is right",
    "training, min",
]


@dataclass(frozen=True)
class Arguments:
    """parts: generated ones. presets: rows, all known ones by default. samples: crops that each training sees.

    views, test_views: simulated frames. out: folder of the views and of the rows.
    """

    parts: int = setting(8, bounds=(1, 1000))
    presets: tuple[str, ...] = ()
    samples: int = setting(20_000, bounds=(96, 10**9))
    views: int = setting(200, bounds=(1, 10**6))
    test_views: int = setting(24, bounds=(1, 10**6))
    out: Path = Path("runs/estimators")

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class TestView:
    """A view, detections of its parts that are at least half visible, and which parts they are."""

    view: LabelledView
    detections: tuple[Detection, ...]
    instances: tuple[int, ...]


def main(arguments: Arguments) -> None:
    """Train, measure and print the table."""
    a = arguments
    heading(
        f"Pose estimators: {a.parts} generated parts, {a.samples} crops of {a.views} views, {a.test_views} test views"
    )
    limit_threads(available_cpus())
    names = [f"part_{number}" for number in range(a.parts)]
    objects = {name: make_object(generated_part(i), name, i + 1) for i, name in enumerate(names)}
    training = stored_views(a.out / f"training_{a.parts}", objects, a.views, TRAINING_SEED)
    test = stored_views(a.out / f"test_{a.parts}", objects, a.test_views, TEST_SEED)
    tests = [test_view(view, objects, np.random.default_rng((TEST_SEED, i))) for i, view in enumerate(test)]
    rows = []
    for given in a.presets or known_presets():
        file = a.out / f"{given.replace(':', '_')}_{a.parts}_{a.samples}_{a.views}_{a.test_views}.json"
        if not file.exists():
            figures = measured_row(preset_of(given), objects, training, tests, a.samples)
            write_bytes(file, json.dumps(figures, indent=1).encode())
        rows.append(cells(given, json.loads(file.read_text())))
        print(f"  {given} done", flush=True)
    print()
    table(HEADER, rows)
    print(f"{sum(len(one.detections) for one in tests)} parts")


def preset_of(given: str) -> Preset:
    """The preset of `name` or `name:setting=value,...`."""
    name, _, settings = given.partition(":")
    values = dict(one.split("=", 1) for one in settings.split(",") if one)
    own = asdict(find_preset(name)())
    return find_preset(name).from_settings({key: type(own[key])(value) for key, value in values.items()})


def stored_views(folder: Path, objects: Mapping[str, ObjectModel], count: int, seed: int) -> ViewStore:
    """The first views of a seed, simulated where they are not in the folder yet."""
    store = ViewStore(folder)
    if len(store) < count:
        scene = replace(scene_of(objects), views_per_pile=4 if seed == TRAINING_SEED else 1)
        with SimulationStream(objects, scene, seed, available_cpus(), start=len(store)) as stream:
            while len(store) < count:
                store.append(next(stream))
    return store


def test_view(view: LabelledView, objects: Mapping[str, ObjectModel], rng: np.random.Generator) -> TestView:
    """True masks, and centres that are off as in the training."""
    detections, instances = [], []
    across, along = PoseTrainingConfig().center_jitter
    for i in np.flatnonzero(view.visible_fraction >= HALF_VISIBLE):
        part = objects[view.object_ids[i]]
        jitter = rng.normal(size=3) * part.diameter_m * [across, across, along]
        center = transform(view.T_cam_obj[i], part.center_m[None])[0] + jitter
        found = Detection.from_mask(part.id, 1.0, view.instance_ids == i)
        at = view.frame.camera.project(center[None])[0]
        detections.append(replace(found, center_px=(float(at[0]), float(at[1])), center_depth_m=float(center[2])))
        instances.append(int(i))
    return TestView(view, tuple(detections), tuple(instances))


def measured_row(
    preset: Preset, objects: Mapping[str, ObjectModel], views: ViewStore, tests: Sequence[TestView], samples: int
) -> dict[str, Any]:
    """The figures of one preset."""
    config = PoseTrainingConfig(LoopConfig(samples=samples, learning_rate=1.5e-3))
    began = time.monotonic()
    estimator = train_estimator(views, objects, EstimatorConfig(tuple(objects), preset=preset), config, WEIGHTS_SEED)
    minutes = (time.monotonic() - began) / 60.0
    refiner = IcpRefiner(objects)
    errors = {name: PartErrors(part) for name, part in objects.items()}
    right: dict[str, list[bool]] = {"first": [], "refined": [], "any": []}
    for one in tests:
        poses = estimator(one.view.frame, one.detections)
        refined = refiner(one.view.frame, one.detections, poses)
        for name, found in (("first", poses), ("refined", refined)):
            of = {pose.detection_index: pose for pose in found}
            right[name] += [is_hit(of.get(i), one, i, errors, alone=True) for i in range(len(one.detections))]
        of = {pose.detection_index: pose for pose in poses}
        right["any"] += [is_hit(of.get(i), one, i, errors, alone=False) for i in range(len(one.detections))]
    weights = sum(p.numel() for p in estimator.network.parameters())
    recall = {name: float(np.mean(hits)) for name, hits in right.items()}
    return {"parameters": weights, "minutes": minutes, "ms": milliseconds(estimator, tests), **recall}


def is_hit(
    pose: PoseEstimate | None, one: TestView, detection: int, errors: Mapping[str, PartErrors], alone: bool
) -> bool:
    """Whether a pose, or any of its hypotheses, is right for a detection's part."""
    if pose is None:
        return False
    name, truth = one.detections[detection].object_id, one.view.T_cam_obj[one.instances[detection]][None]
    found = [pose.T_cam_obj] if alone else [h.T_cam_obj for h in pose.hypotheses if h.object_id == name]
    return bool(np.isfinite(right_errors_m(errors[name], np.reshape(found, (-1, 4, 4)), truth)).any())


def milliseconds(estimator: PoseEstimator, tests: Sequence[TestView]) -> list[float]:
    """Time of ten detections of one frame, from cutting crops to poses, several times."""
    fullest = max(tests, key=lambda one: len(one.detections))
    chosen = [fullest.detections[i % len(fullest.detections)] for i in range(CROPS)]
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        estimator(fullest.view.frame, chosen)
        times.append(1e3 * (time.perf_counter() - began))
    return times[1:]


def cells(name: str, row: Mapping[str, Any]) -> list[str]:
    """The cells of a row."""
    shares = [f"{100 * row[key]:.1f} %" for key in ("first", "refined", "any")]
    size = f"{row['parameters'] / 1e6:.2f} M"
    return [
        name,
        size,
        f"{4e-6 * row['parameters']:.1f}",
        spread(np.array(row["ms"])),
        *shares,
        f"{row['minutes']:.1f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
