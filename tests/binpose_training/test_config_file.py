"""The whole tree of a training's settings is reachable from a file, and what is unknown is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from binpose import cli
from binpose.commands.train import Train
from binpose_core.base.config_tree import names, plain
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_text
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig
from binpose_training.config import DetectorJob, TrainConfig
from binpose_training.config_file import training_config, write_config


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(minutes=3.5, seed=4).with_refinement_network(),
        replace(TrainConfig(), detector=DetectorJob.of("mask_rcnn")),
    ],
)
def test_what_is_written_is_read_back(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    write_config(config, path)
    assert training_config(path, {"workers": config.workers}) == config


@pytest.mark.parametrize(
    "name",
    [
        "minutes",
        "simulation.scene.sensor.industrial",
        "simulation.scene.content.parts",
        "detector.training.loop.learning_rate",
        "detector.training.augmentation.paste",
        "pose.training.batch_size",
        "pose.distillation.teachers",
        "refinement.training.joint.learning_rate",
        "calibration.views",
        "calibration.refiner.coarse_px",
    ],
)
def test_every_stage_is_reachable(name: str) -> None:
    assert name in set(names(TrainConfig()))


def test_options_win_over_the_file_and_assignments_over_both(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write_text(path, "minutes: 5\nseed: 1\npose:\n  training:\n    batch_size: 8\n    loop: {learning_rate: 1e-4}\n")
    config = training_config(path, {"seed": 2}, ["pose.training.batch_size=4"])
    assert (config.minutes, config.seed, config.pose.training.batch_size) == (5.0, 2, 4)
    assert config.pose.training.loop.learning_rate == 1e-4
    defaults = plain(TrainConfig(minutes=5, seed=2))
    changed = plain(config)
    changed["pose"]["training"]["batch_size"] = defaults["pose"]["training"]["batch_size"]
    changed["pose"]["training"]["loop"]["learning_rate"] = defaults["pose"]["training"]["loop"]["learning_rate"]
    assert changed == defaults, "all else stays"


def test_a_detector_brings_its_own_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write_text(path, "detector: {backend: mask_rcnn, training: {views: 3}}\n")
    job = training_config(path).detector
    assert job.training == replace(MaskRcnnTrainingConfig(), views=3)
    assert training_config(path, {"detector": {"backend": "votes"}}).detector.backend == "votes"


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("detector.training.lop=1", "Unknown setting 'detector.training.lop'.*detector.training.loop"),
        ("minuets=3", "Unknown setting 'minuets'.*the nearest one is minutes"),
        ("pose=3", "The setting pose is 3; expected names and values below it"),
        ("pose.training.batch_size=many", "pose.training.batch_size is 'many'; expected a whole number"),
        ("pose.training.batch_size=1", "batch_size must be >= 2"),
        ("pose.training.center_jitter=[1]", "expected a list of 2"),
        ("detector.backend=yolo", "yolo"),
        ("minutes", "assigns nothing"),
        ("simulation.scene.sensor.ideal=true", "is True; expected a number"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        training_config(assignments=[assignment])


@pytest.mark.parametrize("content", ["- a\n", "a: [1\n", "1: 2\n", "minutes: 3\nminutes: 4\n"])
def test_a_file_of_anything_else_is_refused(content: str, tmp_path: Path) -> None:
    write_text(tmp_path / "a.yaml", content)
    with pytest.raises(BinposeError, match=r"a\.yaml"):
        training_config(tmp_path / "a.yaml")


def test_the_command_writes_its_settings_with_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    options = ["--minutes", "7", "--set", "pose.training.batch_size=8", "seed=3", "--refinement-network"]
    command = ["train", "--objects", "a", "--out", str(tmp_path / "m"), "--bin-size", "300,200,100"]
    assert cli.main([*command, *options, "--write-config", str(path)]) == 0
    config = training_config(path)
    assert (config.minutes, config.seed, config.pose.training.batch_size) == (7.0, 3, 8)
    assert config.refinement.enabled
    assert config.simulation.scene.content.bin_size_m == (0.3, 0.2, 0.1)
    text = path.read_text()
    assert "# wall-clock budget of all stages." in text and "workers" not in text.replace("# ", "")
    assert not (tmp_path / "m").exists()


def test_every_value_of_a_training_is_described(tmp_path: Path) -> None:
    """Those of the stages' own classes; a description is the line above its value."""
    write_config(TrainConfig(), tmp_path / "a.yaml")
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    for name in ("  fraction:", "  backend:", "    batch_size:", "      learning_rate:", "  views:"):
        places = [number for number, line in enumerate(lines) if line.startswith(name)]
        assert places and all(lines[number - 1].lstrip().startswith("#") for number in places), name


def test_teachers_are_named_on_the_command_line_or_in_the_file(tmp_path: Path) -> None:
    command = Train(objects="a", out=tmp_path, teacher=(Path("models/x"), Path("demo")))
    assert command.training_config().pose.distillation.teachers == ("models/x", "demo")
    config = training_config(None, {}, ["pose.distillation.teachers=[demo]", "pose.distillation.hint=0"])
    assert config.pose.distillation.teachers == ("demo",) and config.pose.distillation.hint == 0
