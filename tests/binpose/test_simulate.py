"""`binpose simulate` writes a data set that can be read again, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from binpose import cli
from binpose.commands.train import Train
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.labelled_views import labelled_views
from binpose_core.learning import model_store
from binpose_recording.bag_frames import bag_frames
from binpose_training import training
from binpose_training.training_scene import training_scene


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    trimesh.creation.box((40, 30, 20)).export(tmp_path / "box.stl")
    cli.main(
        ["add", str(tmp_path / "box.stl"), "--id", "box", "--unit", "mm", "--catalogue", str(tmp_path / "objects")]
    )
    return tmp_path / "objects"


def command(catalogue: Path, out: Path, frames: int) -> list[str]:
    options = ["--objects", "box", "--catalogue", str(catalogue), "--width", "160", "--height", "120", "--workers", "1"]
    return ["simulate", *options, "--out", str(out), "--frames", str(frames), "--seed", "2"]


def simulate(catalogue: Path, out: Path, frames: int, *more: str) -> list:
    assert cli.main([*command(catalogue, out, frames), *more]) == 0
    return list(BopDataset(out).frames("sim"))


def test_frames_are_whole_reproducible_and_continued(catalogue: Path, tmp_path: Path) -> None:
    first = simulate(catalogue, tmp_path / "a", 1)
    assert len(first) == 1
    frame = first[0].read()
    assert frame.color.shape[:2] == (120, 160) and frame.depth_m is not None
    assert first[0].ground_truth() and BopDataset(tmp_path / "a").models[1].object_id == "box"
    assert cli.main([*command(catalogue, tmp_path / "a", 2), "--width", "200"]) == cli.FAILED
    continued, anew = simulate(catalogue, tmp_path / "a", 2), simulate(catalogue, tmp_path / "b", 2)
    assert len(continued) == len(anew) == 2
    for one, other in zip(continued, anew, strict=True):
        np.testing.assert_array_equal(one.read().color, other.read().color)


def test_path_traced_frames_have_labels_for_evaluation_alone(catalogue: Path, tmp_path: Path) -> None:
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    more = ["--renderer", "path_traced", "--samples", "1", "--width", "64", "--height", "48"]
    (frame,) = simulate(catalogue, tmp_path / "out", 1, *more)
    assert frame.read().depth_m.any() and frame.ground_truth()
    with pytest.raises(BinposeError, match="for evaluation only"):
        labelled_views(BopDataset(tmp_path / "out"))


@pytest.mark.parametrize(
    "wrong, told",
    [
        (["--frames", "0"], "0 frames"),
        (["--width", "0"], "0x"),
        (["--bin-size", "a,b"], "a,b"),
        (["--objects", "pin"], "--objects pin"),
        (["--cell", "3"], "--renderer path_traced"),
    ],
)
def test_wrong_options_are_told_before_the_parts_are_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, wrong: list[str], told: str
) -> None:
    monkeypatch.setattr("binpose_training.chosen_parts.library_objects", lambda: pytest.fail("parts were prepared"))
    assert cli.main(["simulate", "--parts", "--out", str(tmp_path / "out"), *wrong]) == cli.FAILED
    assert told in capsys.readouterr().err


def test_the_options_of_train_leave_the_settings_of_the_training() -> None:
    """An option that is not given does not replace what the file of settings says."""
    command = Train(objects="a", out=Path("b"))
    assert (command.minutes, command.seed, command.detector) == (None, None, None)


@pytest.mark.parametrize("options", [[], ["--add-part", "b"], ["--objects", "a", "--add-part", "b"]])
def test_the_parts_of_a_training_are_given_in_one_way(
    tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str]
) -> None:
    assert cli.main(["train", "--out", str(tmp_path / "model"), *options]) == cli.FAILED
    assert "expected --objects PARTS, or --start-from MODEL with --add-part PARTS" in capsys.readouterr().err


def test_other_parts_are_refused_in_one_sentence(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    simulate(catalogue, tmp_path / "out", 1)
    trimesh.creation.box((50, 30, 20)).export(tmp_path / "box.stl")
    replacing = ["--id", "box", "--unit", "mm", "--replace", "--catalogue", str(catalogue)]
    assert cli.main(["add", str(tmp_path / "box.stl"), *replacing]) == 0
    capsys.readouterr()
    assert cli.main(command(catalogue, tmp_path / "out", 2)) == cli.FAILED
    message = capsys.readouterr().err
    assert "made with other parts" in message and len(message.strip().splitlines()) == 1


def test_a_bin_of_given_size_is_simulated_by_the_workers(catalogue: Path, tmp_path: Path) -> None:
    (frame,) = simulate(catalogue, tmp_path / "out", 1, "--bin-size", "30,22,8", "--bin-unit", "cm")
    settings = read_json(tmp_path / "out" / "sim" / "000002" / "simulation.json")
    assert settings["scene"]["content"]["bin_size_m"] == pytest.approx([0.3, 0.22, 0.08])
    assert frame.ground_truth()


@pytest.mark.parametrize("subcommand", ["simulate", "train"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--bin-size", "300,200"], "--bin-size is '300,200'; expected inner length, width and height"),
        (["--bin-size", "a,b,c"], "such as 300,200,120"),
        (["--bin-size", "300,200,120", "--bin-unit", "m"], "check the numbers and their unit"),
        (["--bin-size", "30,20,100"], "too small for the part 'box' of 40 x 30 x 20 mm"),
        (["--bin-mesh", "none.stl"], "No mesh at"),
        (["--bin-mesh", "box.stl"], "is no bin"),
        (["--bin-mesh", "box.stl", "--bin-size", "300,200,120"], "expected one of them"),
    ],
)
def test_what_is_no_bin_is_told_in_one_sentence(
    subcommand: str,
    options: list[str],
    expected: str,
    catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--objects", "box", "--catalogue", str(catalogue), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    assert cli.main([subcommand, *arguments, *options]) == cli.FAILED
    message = capsys.readouterr().err
    assert expected in message and len(message.strip().splitlines()) == 1 and "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_training_takes_place_in_the_given_bin(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(training, "train", lambda objects, out, config, **_: given.append(config) or "0" * 64)
    monkeypatch.setattr(model_store.ModelStore, "header", lambda *_: {"calibrated": True, "metrics": {}})
    arguments = ["--objects", "box", "--catalogue", str(catalogue), "--out", str(tmp_path / "out")]
    assert cli.main(["train", *arguments, "--bin-size", "300,200,120"]) == 0
    assert given[0].simulation.scene.content.bin_size_m == pytest.approx((0.3, 0.2, 0.12))
    assert (
        training_scene(given[0].simulation.scene, 1e-3, 3).content.bin_size_m
        == given[0].simulation.scene.content.bin_size_m
    )


def test_the_frames_are_written_as_a_bag_too(catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bag = tmp_path / "bag"
    frames = simulate(catalogue, tmp_path / "out", 2, "--bag", str(bag))
    for one, other in zip(frames, bag_frames(bag).frames, strict=True):
        np.testing.assert_array_equal(one.read().color, other.read().color)
        np.testing.assert_array_equal(one.read().depth_m, other.read().depth_m)
        assert one.read().camera == other.read().camera
    assert cli.main([*command(catalogue, tmp_path / "out", 3), "--bag", str(bag)]) == cli.FAILED
    assert "exists already" in capsys.readouterr().err
    assert len(list(BopDataset(tmp_path / "out").frames("sim"))) == 2  # Told before anything was simulated.
