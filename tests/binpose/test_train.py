"""`binpose train` in two processes on the processor, from the catalogue to a model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

from binpose import cli
from binpose_core.base.threads import process_environment
from binpose_core.learning.model_store import ModelStore
from binpose_pipeline.bundle import load_bundle

SETTINGS = (
    "simulation.views=4",
    "detector.training.loop.steps=2",
    "detector.training.views=1",
    "detector.training.crops=2",
    "detector.training.crop_px=64",
    "detector.validation.views=0",
    "pose.training.loop.samples=16",
    "pose.training.batch_size=4",
    "pose.validation.views=0",
    "calibration.views=2",
    "calibration.evaluation_views=2",
)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """One part, without symmetries."""
    legs = [trimesh.creation.box((0.06, 0.014, 0.02)), trimesh.creation.box((0.014, 0.05, 0.012))]
    legs[1].apply_translation((-0.023, 0.02, 0.0))
    trimesh.boolean.union(legs, engine="manifold").export(tmp_path / "bracket.stl")
    folder = tmp_path / "objects"
    added = ["add", str(tmp_path / "bracket.stl"), "--id", "bracket", "--unit", "m", "--catalogue", str(folder)]
    assert cli.main(added) == 0
    return folder


def test_two_processes_train_one_model(catalogue: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["train", "--objects", "bracket", "--catalogue", str(catalogue), "--out", str(out), "--workers", "1"]
    ended = subprocess.run(
        [*launcher, "-m", "binpose.cli", *command, "--minutes", "0.02", "--set", *SETTINGS],
        env={**process_environment(1), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Next: binpose estimate") == 1, "one process reports"
    stored = ModelStore(out).load()
    done = stored.header["training"]["done"]
    assert done["pose_steps"] == 2, "16 crops, of which two processes take 4 each in a step"
    assert done["detector_steps"] == 2 and done["views"] == 4
    assert not (out / "training").exists() and len([*out.glob("weights-*.safetensors")]) == 1
    assert list(load_bundle(out).objects) == ["bracket"]
