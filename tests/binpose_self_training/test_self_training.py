"""`binpose self-train` as a process that is killed at the start and in the middle of each stage, and started again.

The stages are those that an undisturbed run reports. Runs are forked from one process that has imported everything.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.files import read_json
from binpose_core.datasets.bop import BopWriter
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.learning.model_store import ModelStore
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.bundle import load_bundle, shipped_or_own

FORKER = """
import json, os, sys
import binpose.json_lines, binpose.self_training_report, binpose_pipeline.kernels, binpose_self_training.known_truth
import binpose_self_training.recordings, binpose_self_training.self_training
from binpose.cli import main
for line in sys.stdin:
    arguments, out = json.loads(line)
    pid = os.fork()
    if pid == 0:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        os._exit(main(arguments))
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
CAMERA, TABLE_M = Camera(300.0, 300.0, 119.5, 89.5, 240, 180), 0.6
TINY = (
    "--json-lines", "--rounds", "1", "--workers", "1", "--set", "frames.held_out=0.4", "replay.simulated=1",
    "anchors=1", "fewest_labels=1", "selection.test_time_views=0", "selection.score=0.2",
    "selection.depth_agreement=0.1", "student.detector.loop.samples=16", "student.detector.views=2",
    "student.pose.loop.samples=32", "student.pose.batch_size=16", "gate.early=false",
)  # fmt: skip
POLL_S, PATIENCE_S = 0.02, 300.0


@dataclass
class Runs:
    """Runs of the command for one model, one after the other."""

    forker: "subprocess.Popen[str]"
    recording: Path
    model: Path
    log: Path
    times: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, stage: str = "", wait_s: float = 0.0, later: tuple[str, ...] = ()) -> bool:
        """Run; whether it was killed, `wait_s` after its first report of a stage, or when it reports a later one."""
        self.log.write_bytes(b"")
        arguments = ["self-train", str(self.recording), "--model", str(self.model), *TINY]
        assert self.forker.stdin is not None and self.forker.stdout is not None
        self.forker.stdin.write(json.dumps([arguments, str(self.log)]) + "\n")
        self.forker.stdin.flush()
        pid = int(self.forker.stdout.readline())
        self.times.clear()
        for event in self._events(pid):
            if event.get("event") == "progress":
                self.times.append((time.monotonic(), event["stage"]))
                if event["stage"] == stage or event["stage"] in later:
                    time.sleep(wait_s if event["stage"] == stage else 0.0)
                    break
            if event.get("event") == "result":
                break
        else:
            stage = ""
        if stage and event.get("event") != "result":
            os.kill(pid, signal.SIGKILL)
        status = int(self.forker.stdout.readline())
        assert status in (0, signal.SIGKILL), self.log.read_text()
        return status != 0

    def _events(self, pid: int) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + PATIENCE_S
        with self.log.open() as file:
            while time.monotonic() < end:
                line = file.readline()
                if not line.endswith("\n"):
                    file.seek(file.tell() - len(line))
                    time.sleep(POLL_S)
                    continue
                assert line.startswith("{"), line + file.read()
                yield json.loads(line)
        pytest.fail(f"no end within {PATIENCE_S} s: {self.log.read_text()[-500:]}")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames with two large parts each, one of them held out."""
    root = tmp_path_factory.mktemp("killed") / "recording"
    parts = dict(load_bundle("demo").objects)
    renderer = Renderer([part.mesh for part in parts.values()])
    with BopWriter(root, "cell", 0, list(parts.values())) as writer:
        for seed in range(3):
            rng = np.random.default_rng(seed)
            ids = rng.choice(len(parts), 4, replace=False)
            places = np.array([[x, y, TABLE_M - 0.04] for x in (-0.08, 0.08) for y in (-0.07, 0.07)])
            T_cam_obj = from_rotation_translation(random_rotation(rng, (4,)), places)
            scene = renderer.scene(ids, T_cam_obj, CAMERA)
            depth = np.where(scene.mask, scene.depth_m, np.float32(TABLE_M)) + rng.normal(0, 2e-4, scene.mask.shape)
            color = np.where(scene.mask[..., None], scene.shaded(), np.uint8(70)).astype(np.uint8)
            names = [list(parts)[n] for n in ids]
            writer.write(RgbdFrame(color, depth.astype(np.float32), CAMERA), names, T_cam_obj, scene.instance_ids)
    return root


@pytest.fixture(scope="module")
def runs(recording: Path) -> Iterator[Callable[[str], Runs]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    forker = subprocess.Popen(
        [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def make(name: str) -> Runs:
        folder = recording.parent / name
        model = Path(shutil.copytree(shipped_or_own(Path("demo")), folder / "model"))
        return Runs(forker, recording, model, folder / "log.txt")

    yield make
    forker.kill()
    forker.wait()


def check_store(model: Path, champion: str, weights: bytes) -> None:
    """The model in use is as it was, and every file is whole."""
    store = ModelStore(model)
    assert store.current() == champion and (model / f"weights-{champion[:12]}.safetensors").read_bytes() == weights
    assert store.damages() == []
    for version in {*store.versions(), *store.aliases().values()}:
        store.load(version)
    for file in model.rglob("*.json"):
        if not file.name.startswith("."):
            read_json(file)
    assert all(zipfile.is_zipfile(file) for file in model.rglob("view-*.npz"))


def outcome(model: Path) -> dict[str, Any]:
    """What a finished run leaves, without times and versions, which hold the time of their making."""
    run = model / "self_training"
    record, verdict = read_json(run / "round_1" / "round.json"), read_json(run / "verdict.json")
    store = ModelStore(model)
    assert record["student"] == store.aliases()["candidate"]
    for name in ("student", "seconds"):
        del record[name]
    entries = {"decision", "reasons", "notes", "parts", "scores"}
    kept = {name: value for name, value in verdict.items() if name in entries}
    return {
        "record": record,
        "evidence": read_json(run / "round_1" / "evidence.json"),
        "verdict": kept,
        "frames": [read_json(run / name / "frames.json") for name in ("frames", "held_out")],
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*")),
    }


def differences(one: Path, other: Path) -> float:
    """The largest one between the weights of two candidates, which are stored as float16."""
    first, second = (ModelStore(model).load("candidate").tensors for model in (one, other))
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name].astype(float) - second[name].astype(float)).max(initial=0)) for name in first)


@pytest.mark.slow
def test_a_run_killed_at_and_in_every_stage_ends_as_an_undisturbed_one(runs: Callable[[str], Runs]) -> None:
    undisturbed = runs("undisturbed")
    assert not undisturbed()
    times = [*undisturbed.times, (time.monotonic(), "")]
    stages = list(dict.fromkeys(stage for _, stage in times if stage))
    first = {stage: next(at for at, name in times if name == stage) for stage in stages}
    lengths = {a: first[b] - first[a] for a, b in itertools.pairwise(stages)} | {stages[-1]: 0.0}
    assert {"replay", "round 1, teaching", "round 1, detector", "round 1, pose", "anchors"} <= set(stages)

    killed = runs("killed")
    champion = ModelStore(killed.model).current()
    assert champion is not None
    weights = (killed.model / f"weights-{champion[:12]}.safetensors").read_bytes()
    kills = []
    for number, stage in enumerate(stages):
        later = tuple(stages[number + 1 :])
        # Before the first stage of the run itself, nothing is written: one kill there is enough.
        for wait_s in (0.0, 0.5 * lengths[stage])[: 1 if stage == stages[0] else 2]:
            if killed(stage, wait_s, later):
                kills.append((stage, wait_s > 0.0))
            check_store(killed.model, champion, weights)
    assert len(kills) >= 1.5 * len(stages), kills
    assert not killed()
    check_store(killed.model, champion, weights)
    assert outcome(killed.model) == outcome(undisturbed.model)
    assert differences(killed.model, undisturbed.model) == 0.0
    assert not list(killed.model.rglob("*.tmp*"))
