"""`binpose self-train` with the shipped model on drawn frames: once around at the smallest size."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose.cli import main
from binpose_core.datasets.bop import BopWriter
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.learning.model_store import ModelStore
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.bundle import load_bundle, shipped_or_own

CAMERA = Camera(600.0, 600.0, 239.5, 179.5, 480, 360)
TABLE_M = 0.6
TINY = (
    "--set", "frames.held_out=0.4", "replay.simulated=0", "anchors=0", "fewest_labels=1", "selection.test_time_views=0",
    "student.detector.loop.samples=32", "student.detector.views=2", "student.pose.loop.samples=64",
    "student.pose.batch_size=32",
)  # fmt: skip


def drawn(parts: dict[str, ObjectModel], seed: int) -> tuple[RgbdFrame, list[str], Any, Any]:
    """Four parts side by side over a table."""
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice(list(parts), 4, replace=False)]
    places = np.array([[x, y, TABLE_M - 0.04] for x in (-0.08, 0.08) for y in (-0.07, 0.07)])
    poses = from_rotation_translation(random_rotation(rng, (4,)), places)
    ids = np.array([list(parts).index(name) for name in names])
    scene = Renderer([part.mesh for part in parts.values()]).scene(ids, poses, CAMERA)
    depth = np.where(scene.mask, scene.depth_m, np.float32(TABLE_M)) + rng.normal(0, 2e-4, scene.mask.shape)
    color = np.where(scene.mask[..., None], scene.shaded(), np.uint8(70))
    return RgbdFrame(color.astype(np.uint8), depth.astype(np.float32), CAMERA), names, poses, scene.instance_ids


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recording")
    parts = dict(load_bundle("demo").objects)
    with BopWriter(root, "cell", 0, list(parts.values())) as writer:
        for seed in range(5):
            writer.write(*drawn(parts, seed))
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_or_own(Path("demo")), tmp_path / "model"))


def test_a_recording_becomes_a_candidate_with_labels_a_verdict_and_a_report(
    recording: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ModelStore(model).current()
    assert main(["self-train", str(recording), "--model", str(model), "--rounds", "1", *TINY]) == 0
    out, run = capsys.readouterr().out, model / "self_training"
    record = json.loads((run / "round_1" / "round.json").read_text())
    assert record["labels"] >= 2 and record["student"] != before
    store = ModelStore(model)
    assert store.current() == before and store.aliases()["candidate"] == record["student"]
    assert store.header(record["student"])["parent"] == before
    verdict = store.verdicts(record["student"])[-1]
    assert verdict["decision"] == "undecided" and "Gate: undecided" in out
    page = (run / "self_training.html").read_text()
    assert "Accepted" in page and "Before and after" in page and record["student"][:12] in page
    assert not list(run.glob("round_*/views")) and not list(run.glob("round_*/*.safetensors"))
    load_bundle(model, version=record["student"])


def test_a_recording_that_teaches_nothing_leaves_everything_as_it_was(
    recording: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(path.name for path in model.iterdir())
    assert main(["self-train", str(recording), "--model", str(model), *TINY, "fewest_labels=500"]) == 0
    assert "No student was trained: only" in " ".join(capsys.readouterr().out.split())
    assert sorted(path.name for path in model.glob("weights-*")) == [name for name in files if "weights" in name]
    assert (model / "self_training" / "self_training.html").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "No recording was named"),
        (("missing",), "missing"),
        (("RECORDING", "--set", "selection.scores=1"), "selection.scores"),
        (("RECORDING", "--evaluate", "missing"), "missing"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    options: tuple[str, ...], sentence: str, recording: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(recording) if option == "RECORDING" else option for option in options]
    assert main(["self-train", *arguments, "--model", str(model)]) == 2
    assert sentence in capsys.readouterr().err
    assert len(ModelStore(model).versions()) == 1


def test_the_settings_can_be_written_and_read(tmp_path: Path, recording: Path) -> None:
    path = tmp_path / "settings.yaml"
    options = ["--model", str(tmp_path), "--rounds", "2", "--set", "selection.score=0.6"]
    assert main(["self-train", str(recording), *options, "--write-config", str(path)]) == 0
    text = path.read_text()
    assert "rounds: 2" in text and "score: 0.6" in text and "depth_agreement" in text
