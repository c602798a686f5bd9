"""The run of a training: what its stages share, its folder, and the views that it learns from."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_json
from binpose_core.learning.weights import read_progress
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.config import TrainConfig
from binpose_training.training_scene import training_scene, working_gsd_m

Item = TypeVar("Item")

Progress = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Run:
    """What the stages of one training share.

    parts: by id, in the order of the networks' classes. directory: of views and checkpoints. start: the model that the
    networks begin with. report: called with (stage, share done, message). device: where the networks are trained.
    """

    parts: Mapping[str, ObjectModel]
    config: TrainConfig
    directory: Path
    start: PipelineBundle | None
    report: Progress
    device: str

    @cached_property
    def gsd_m(self) -> float:
        """Metres per pixel in which the networks see."""
        return working_gsd_m([*self.parts.values()])

    @cached_property
    def scene(self) -> SceneConfig:
        """The bins that are simulated."""
        return training_scene(self.config.scene, self.gsd_m, len(self.parts))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What must be the same for the run to be resumed, as plain JSON data; kept with the model."""
        settings: dict[str, Any] = json.loads(json.dumps(asdict(self.config)))
        del settings["workers"]
        digests = {name: part.digest for name, part in self.parts.items()}
        start = self.start.version if self.start else None
        return {"objects": list(digests), "digests": digests, "start": start, **settings}

    def checkpoint(self, stage: str) -> Path:
        """Where a stage keeps what it has learnt."""
        return self.directory / f"{stage}.safetensors"

    def steps(self, stage: str) -> int:
        """How many steps a stage took."""
        return read_progress(self.checkpoint(stage)).steps

    def on_step(self, stage: str) -> Callable[[float, Mapping[str, float]], None]:
        """What a stage calls with the share done and its losses."""

        def told(share: float, losses: Mapping[str, float]) -> None:
            self.report(stage, share, ", ".join(f"{name} {value:.3f}" for name, value in losses.items()))

        return told

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
                f"An interrupted training is in {directory}; expected none; go on with --resume or delete that folder."
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
        write_json(file, {"settings": run.settings, "simulation": 0.0})


def simulated_views(run: Run) -> ViewStore:
    """As many views as the time allows; an interrupted simulation is gone on with."""
    store, file, config = ViewStore(run.directory / "views"), run.directory / "run.json", run.config
    kept = read_json(file)
    seconds, done = 60.0 * config.minutes * config.simulation_share, float(kept["simulation"])
    if done >= 1.0 and len(store):
        return store

    def on_part(number: int, total: int, object_id: str) -> None:
        run.report("parts", (number - 1) / total, f"convex pieces of {object_id}, {number} of {total}")

    parts, scene = run.parts, run.scene
    with SimulationStream(parts, scene, config.seed, config.workers, start=len(store), on_part=on_part) as stream:
        run.report("parts", 1.0, f"convex pieces of {len(parts)}")
        run.report("simulation", done, "the first pile settles")
        view = next(stream)
        while done < 1.0:
            began = time.monotonic()
            store.append(view)
            view = next(stream)
            done += (time.monotonic() - began) / seconds
            if len(store) % 20 == 0 or done >= 1.0:
                write_json(file, {**kept, "simulation": done}, durable=False)
                run.report("simulation", min(done, 1.0), f"{len(store)} views")
    return store
