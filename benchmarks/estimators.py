"""All pose estimators side by side: the same generated parts, frames, masks and budget of crops for each.

python benchmarks/estimators.py [--parts 8] [--rows default dcnet ...] [--samples 20000] [--out runs/estimators]

Parts come from the generator of the simulation. Each row trains one network from random weights on the same simulated
views. It is tested on other views with true masks, whose centres are as far off as those of detections. `first` is the
estimator's own first pose, `refined` the pose after ICP and verification of all hypotheses. A pose is right if its
ADD(-S) is below 10 % of the diameter. Rows that are done are kept in <out>; the same command continues, also in the
middle of a row.

A row is a preset, its settings and what it is taught by: `default`, `default:conditioning=film`, and
`default:conditioning=cin+kd` or `...+kd+ht`. `kd` is the upper-bounded distillation of Sock et al. (2020, eq. 5), `ht`
adds their hint training (eq. 6). The teachers are the separate networks of the row with `conditioning=single`, which
is trained first. `saved` compares the parameters with those of one such network for each part (their table 2).
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_json
from binpose_core.base.settings import check_bounds, setting
from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.evaluation.matching import HALF_VISIBLE, right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import Detection, LabelledView, PoseEstimate
from binpose_core.geometry.transforms import transform
from binpose_core.learning.hooks import StepCallback, StepReport
from binpose_core.learning.weights import read_progress
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_estimator.distillation import distillation_objective
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.presets import Preset, find_preset, known_presets
from binpose_estimator.presets.preset import SINGLE
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import load_bundle
from binpose_refinement.refiner import IcpRefiner
from binpose_simulation.parts.generator import generated_part
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from common import heading, spread, table
from scenes import scene_of

TRAINING_SEED, TEST_SEED, WEIGHTS_SEED = 740_011, 740_029, 5
"""Used for nothing else."""
REPEATS, CROPS = 9, 10
TAUGHT = ((), ("kd",), ("kd", "ht"))
HEADER = [
    "row",
    "parameters",
    "saved",
    "MB",
    "ms for ten parts",
    "first",
    "refined",
    "a hypothesis is right",
    "training, min",
]


@dataclass(frozen=True)
class Arguments:
    """parts: generated ones. rows: of the table, all known presets by default. samples: crops that each training sees.

    batch: crops per step; the learning rate changes with its square root. start_from: a model of other parts, such as
    demo, whose weights the trainings begin with; none by default. views, test_views: simulated frames.
    threads: of everything; 0 = one per CPU. out: folder of the views and of the rows.
    """

    parts: int = setting(8, bounds=(1, 1000))
    rows: tuple[str, ...] = ()
    samples: int = setting(20_000, bounds=(96, 10**9))
    batch: int = setting(PoseTrainingConfig().batch_size, bounds=(2, 4096))
    start_from: str = ""
    views: int = setting(200, bounds=(1, 10**6))
    test_views: int = setting(24, bounds=(1, 10**6))
    threads: int = setting(0, bounds=(0, 1024))
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
        f"Pose estimators: {a.parts} generated parts, {a.samples} crops of {a.views} views in batches of {a.batch}, "
        f"{a.test_views} test views" + (f", from the weights of {a.start_from}" if a.start_from else "")
    )
    threads = a.threads or available_cpus()
    limit_threads(threads)
    names = [f"part_{number}" for number in range(a.parts)]
    objects = {name: make_object(generated_part(i), name, i + 1) for i, name in enumerate(names)}
    training = stored_views(a.out / f"training_{a.parts}", objects, a.views, TRAINING_SEED, threads)
    test = stored_views(a.out / f"test_{a.parts}", objects, a.test_views, TEST_SEED, threads)
    tests = [test_view(view, objects, np.random.default_rng((TEST_SEED, i))) for i, view in enumerate(test)]
    trainer = Trainer(objects, training, a.samples, a.batch, a.start_from, a.out)
    rows = []
    for row in map(Row.of, a.rows or known_presets()):
        file = trainer.file(row, f"_{a.test_views}.json")
        if not file.exists():
            write_json(file, measured_row(row, trainer, tests))
        rows.append(cells(row, read_json(file)))
        print(f"  {row.name} done", flush=True)
    print()
    table(HEADER, rows)
    print(f"{sum(len(one.detections) for one in tests)} parts")


@dataclass(frozen=True)
class Row:
    """A row of the table: `PRESET[:SETTING=VALUE,...][+kd[+ht]]`.

    preset: with its settings. taught: of "kd" and "ht", what it is taught by.
    """

    name: str
    preset: Preset
    taught: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: str) -> "Row":
        """The row of this name.

        Raises:
            BinposeError: for an unknown preset, setting or method.
        """
        described, *taught = given.split("+")
        if tuple(taught) not in TAUGHT:
            raise BinposeError(f"The row {given!r} ends with +{'+'.join(taught)}; expected +kd, +kd+ht, or nothing.")
        name, _, settings = described.partition(":")
        values = dict(one.split("=", 1) for one in settings.split(",") if one)
        own = asdict(find_preset(name)())
        if unknown := [key for key in values if key not in own]:
            raise BinposeError(f"The preset {name!r} has no setting {unknown[0]!r}; expected {', '.join(own)}.")
        preset = find_preset(name).from_settings({key: type(own[key])(value) for key, value in values.items()})
        return cls(given, preset, tuple(taught))

    @property
    def separate(self) -> "Row":
        """The row of separate networks of the same preset, one for each part."""
        settings = self.preset.settings()
        if "conditioning" in settings:
            settings["conditioning"] = SINGLE
        return Row(f"{self.name.split('+')[0]}, separate", type(self.preset).from_settings(settings))

    @property
    def distillation(self) -> DistillationConfig:
        """The settings of its distillation."""
        hint = DistillationConfig().hint if "ht" in self.taught else 0.0
        return DistillationConfig((self.separate.name,), hint=hint)


@dataclass(frozen=True)
class Trainer:
    """Trains the network of a row, or takes it from the folder, where it is kept."""

    objects: Mapping[str, ObjectModel]
    views: ViewStore
    samples: int
    batch: int
    start_from: str
    out: Path

    def file(self, row: Row, end: str) -> Path:
        """Where a row keeps something: rows of the same settings share it, whatever they are called."""
        own = [row.preset.name, row.preset.settings(), row.taught, self.batch, self.start_from]
        settings = json.dumps(own, sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
        return self.out / f"{row.preset.name}_{digest}_{len(self.objects)}_{self.samples}_{len(self.views)}{end}"

    def network(self, row: Row) -> PoseEstimator:
        """The trained estimator; its teachers are trained before it."""
        config = EstimatorConfig(tuple(self.objects), preset=row.preset)
        objective = None
        if row.taught:
            parts = [*self.objects.values()]
            objective = distillation_objective([self.network(row.separate)], config, parts, row.distillation)
        start = started(self.start_from) if self.start_from else None
        checkpoint = self.file(row, ".safetensors")
        before, began = read_progress(checkpoint).fraction, time.monotonic()
        estimator = train_estimator(
            self.views, self.objects, config, self.training, WEIGHTS_SEED, checkpoint,
            [StepReport(self._on_step(row))], start=start, objective=objective,
        )  # fmt: skip
        if before < 1.0:
            minutes = (time.monotonic() - began) / 60.0 / (1.0 - before)
            write_json(self.file(row, "_minutes.json"), minutes)
        return estimator

    @property
    def training(self) -> PoseTrainingConfig:
        """The settings of each training."""
        usual = PoseTrainingConfig()
        rate = usual.loop.learning_rate * (self.batch / usual.batch_size) ** 0.5
        return replace(usual, batch_size=self.batch, loop=replace(usual.loop, samples=self.samples, learning_rate=rate))

    def minutes(self, row: Row) -> float:
        """How long the training took, without its teachers'. Extrapolated from its last part if it was interrupted."""
        return float(read_json(self.file(row, "_minutes.json")))

    def _on_step(self, row: Row) -> StepCallback:
        reported = -1

        def report(fraction: float, losses: dict[str, float]) -> None:
            nonlocal reported
            if int(10 * fraction) > reported:
                reported = int(10 * fraction)
                shown = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
                print(f"    {time.strftime('%H:%M:%S')} {row.name}: {100 * fraction:.0f} %, {shown}", flush=True)

        return report


def started(model: str) -> PoseEstimator:
    """The pose network of a model.

    Raises:
        BinposeError: if it has none that a training can begin with.
    """
    estimator = load_bundle(model).estimator
    if not isinstance(estimator, PoseEstimator):
        raise BinposeError(f"The model {model!r} has a {type(estimator).__name__}; expected a trained PoseEstimator.")
    return estimator


def stored_views(folder: Path, objects: Mapping[str, ObjectModel], count: int, seed: int, workers: int) -> ViewStore:
    """The first views of a seed, simulated where they are not in the folder yet."""
    store = ViewStore(folder)
    if len(store) < count:
        scene = replace(scene_of(objects), views_per_pile=4 if seed == TRAINING_SEED else 1)
        with SimulationStream(objects, scene, seed, workers, start=len(store)) as stream:
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


def measured_row(row: Row, trainer: Trainer, tests: Sequence[TestView]) -> dict[str, Any]:
    """The figures of one row."""
    estimator, objects = trainer.network(row), trainer.objects
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
    separate = len(objects) * sum(p.numel() for p in row.separate.preset.build(1).parameters())
    return {
        "parameters": weights,
        "saved": 1.0 - weights / separate,
        "minutes": trainer.minutes(row),
        "ms": milliseconds(estimator, tests),
        **recall,
    }


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


def cells(row: Row, figures: Mapping[str, Any]) -> list[str]:
    """The cells of a row."""
    shares = [f"{100 * figures[key]:.1f} %" for key in ("first", "refined", "any")]
    parameters = figures["parameters"]
    return [
        row.name,
        f"{parameters / 1e6:.2f} M",
        f"{100 * figures['saved']:.0f} %",
        f"{4e-6 * parameters:.1f}",
        spread(np.array(figures["ms"])),
        *shares,
        f"{figures['minutes']:.1f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
