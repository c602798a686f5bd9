"""The run of a training: what its stages share, its folder, and the views that it learns from."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_json
from binpose_core.base.workers import Workers
from binpose_core.learning.hooks import Hook, StepReport
from binpose_core.learning.ranks import rank
from binpose_core.learning.tensorboard import TensorBoard
from binpose_core.learning.weights import read_progress
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.config import TrainConfig
from binpose_training.config_file import config_values
from binpose_training.schedule import StageSchedule
from binpose_training.training_scene import training_scene, working_gsd_m

Item = TypeVar("Item")

FEWEST_VIEWS = 4
"""Views that are simulated however short the time is."""
SIMULATION, PREPARATION = "simulation", "preparation"


@dataclass(frozen=True)
class StageProgress:
    """What a training reports: its stage, the fraction of it that is done, a message, and the seconds to its end."""

    stage: str
    fraction: float
    message: str
    left_s: float


Report = Callable[[StageProgress], None]


@dataclass(frozen=True)
class Run:
    """What the stages of one training share.

    parts: by id, in the order of the networks' classes. directory: of views and checkpoints. start: the model that the
    networks begin with. on_progress: called with each progress. device: where the networks are trained.
    workers: who simulates. tensorboard: folder of event files, or None. clock: seconds that rise.
    """

    parts: Mapping[str, ObjectModel]
    config: TrainConfig
    directory: Path
    start: PipelineBundle | None
    on_progress: Report
    device: str
    workers: Workers
    tensorboard: Path | None = None
    clock: Callable[[], float] = time.monotonic

    @cached_property
    def gsd_m(self) -> float:
        """Metres per pixel in which the networks see; those of the start where its weights stay as they are."""
        known = self.start.estimator if self.start is not None else None
        if self.config.only_new_rows and isinstance(known, PoseEstimator):
            return known.config.gsd_m
        return working_gsd_m([*self.parts.values()])

    @cached_property
    def scene(self) -> SceneConfig:
        """The bins that are simulated."""
        return training_scene(self.config.simulation.scene, self.gsd_m, len(self.parts))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What must be the same for the run to be resumed, as plain JSON data; kept with the model."""
        settings: dict[str, Any] = json.loads(json.dumps(config_values(self.config)))
        digests = {name: part.digest for name, part in self.parts.items()}
        start = self.start.version if self.start else None
        return {"objects": list(digests), "digests": digests, "start": start, **settings}

    @cached_property
    def views(self) -> ViewStore:
        """The simulated views."""
        return ViewStore(self.directory / "views")

    @cached_property
    def validation_views(self) -> ViewStore:
        """Views of other bins; none where there is no validation."""
        return ViewStore(self.directory / "validation")

    @cached_property
    def schedule(self) -> StageSchedule:
        """The time of the stages, which is kept in the run's folder."""
        file = self.directory / "run.json"
        kept = read_json(file)

        def save(times: dict[str, Any]) -> None:
            if rank() == 0 and self.directory.exists():
                write_json(file, {**kept, "stages": times}, durable=False)

        return StageSchedule(self.config, kept["stages"], save, self.clock)

    def report(self, stage: str, fraction: float, message: str) -> None:
        """Report that a fraction of a stage is done."""
        self.on_progress(StageProgress(stage, fraction, message, self.schedule.left_s))

    def checkpoint(self, stage: str) -> Path:
        """Where a stage keeps what it has learnt."""
        return self.directory / f"{stage}.safetensors"

    def curve_file(self, stage: str) -> Path:
        """Where a stage keeps the curve of its validation."""
        return self.directory / f"{stage}_validation.json"

    def steps(self, stage: str) -> int:
        """How many steps a stage took; of one with several loops, those of all."""
        paths = (self.checkpoint(stage), *sorted(self.directory.glob(f"{stage}_*.safetensors")))
        return sum(read_progress(path).steps for path in paths)

    def hooks(
        self, stage: str, part: str = "", number: int = 0, of: int = 1, validation: Sequence[Hook] = ()
    ) -> list[Hook]:
        """The hooks of a stage's training loop; one of several loops has its name, its number and how many they are."""

        def on_step(fraction: float, losses: Mapping[str, float]) -> None:
            message = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            self.report(stage, (number + fraction) / of, message)

        hooks: list[Hook] = [*validation, StepReport(on_step)]
        if self.tensorboard is not None:
            hooks.append(TensorBoard(self.tensorboard / stage / part))
        return hooks

    def tracked(self, items: Sequence[Item], stage: str) -> Iterator[Item]:
        """The items, of which each is reported when it is done."""
        for number, item in enumerate(items):
            yield item
            self.report(stage, (number + 1) / len(items), f"{number + 1} of {len(items)}")


def prepare_directory(run: Run, resume: bool) -> None:
    """Make the run's folder, or make sure that it is the one to be resumed.

    Raises:
        BinposeError: if an interrupted run is there and `resume` is not given, or it was another one, or there is none.
    """
    directory, file = run.directory, run.directory / "run.json"
    if file.exists():
        if not resume:
            raise BinposeError(
                f"An interrupted training is in {directory}; expected none; add --resume or delete that folder."
            )
        if read_json(file)["settings"] != run.settings:
            raise BinposeError(
                f"The interrupted training in {directory} had other objects or settings; expected the same ones to "
                "resume; repeat its command, or delete that folder and start anew."
            )
    elif resume:
        raise BinposeError(
            f"No interrupted training in {directory}; expected one to resume; check --out, or begin without --resume."
        )
    else:
        write_json(file, {"settings": run.settings, "stages": {}})


def simulate_training_views(run: Run) -> None:
    """Make the wanted number of views, or as many as the time allows; resumes an interrupted simulation."""
    store, schedule, config = run.views, run.schedule, run.config
    if schedule.done(SIMULATION) and len(store):
        return

    def on_part(number: int, total: int, object_id: str) -> None:
        run.report("parts", (number - 1) / total, f"convex pieces of {object_id}, {number} of {total}")

    with contextlib.ExitStack() as stack:
        with schedule.stage(PREPARATION):
            stream = SimulationStream(run.parts, run.scene, config.seed, run.workers, start=len(store), on_part=on_part)
            stack.enter_context(stream)
            run.report("parts", 1.0, f"convex pieces of {len(run.parts)}")
            run.report(SIMULATION, 0.0, "the first pile settles")
            view = next(stream)
        with schedule.stage(SIMULATION):
            wanted = config.simulated_views
            while wanted is None or len(store) < wanted:
                if wanted is None and len(store) >= FEWEST_VIEWS and schedule.spent(SIMULATION) >= 1.0:
                    break
                store.append(view)
                view = next(stream)
                if len(store) % 20 == 0:
                    done = len(store) / wanted if wanted else schedule.spent(SIMULATION)
                    run.report(SIMULATION, done, f"{len(store)} views")
        run.report(SIMULATION, 1.0, f"{len(store)} views")
