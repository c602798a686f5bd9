"""Help that shows an example, exit codes, and mistakes told in one sentence."""

import inspect
import io
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import trimesh
from rich.console import Console

from binpose import cli
from binpose.commands.command import COMPILING, Command, compiling, waiting

NAMES = ("add", "simulate", "train", "estimate", "evaluate", "demo", "models", "bag")


def help_of(*arguments: str, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shows_an_example(name: str, capsys: pytest.CaptureFixture) -> None:
    text = " ".join(help_of(name, capsys=capsys).split())
    assert f"Example: binpose {name}" in text
    assert "--debug" in text


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture) -> None:
    text = help_of(capsys=capsys)
    assert all(name in text for name in NAMES)
    assert "binpose demo" in text


@pytest.mark.parametrize("command", Command.__subclasses__())
def test_every_option_is_described(command: type[Command], capsys: pytest.CaptureFixture) -> None:
    """By a line of the docstring, which `described` turned into a help text, or by a docstring under the field."""
    hints = get_type_hints(command, include_extras=True)
    source = [line.strip() for line in inspect.getsource(command).splitlines()]
    for name in (field.name for field in fields(command)):
        helps = [note.help for note in getattr(hints[name], "__metadata__", ()) if getattr(note, "help", None)]
        below = [source[n + 1].startswith('"""') for n, line in enumerate(source[:-1]) if line.startswith(f"{name}:")]
        assert helps or any(below), f"{command.__name__}.{name} has no description"


def test_help_texts_come_from_the_docstring(capsys: pytest.CaptureFixture) -> None:
    text = " ".join(help_of("train", capsys=capsys).replace("│", " ").split())
    assert "How long to train, calibration included; default 28." in text
    assert "Show the traceback of an error." in text and "Inner length, width and height of the bin" in text
    assert "minutes: How long" not in text, "the description of an option stands beside it alone"


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; import binpose.cli; "
        "heavy = {'torch', 'mujoco', 'open3d', 'coacd', 'trimesh', 'plotly'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"importing the command line imports {done.stderr}"


@pytest.fixture
def mesh_mm(tmp_path: Path) -> Path:
    """A box of 40 x 30 x 20 mm in an STL file in millimetres."""
    path = tmp_path / "box.stl"
    trimesh.creation.box((40, 30, 20)).export(path)
    return path


def add(path: Path, tmp_path: Path, *options: str) -> int:
    return cli.main(["add", str(path), "--catalogue", str(tmp_path / "objects"), *options])


def test_add_shows_what_it_found(mesh_mm: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert add(mesh_mm, tmp_path, "--id", "box", "--unit", "mm") == 0
    text = capsys.readouterr().out
    assert "40.0 x 30.0 x 20.0 mm" in text and f"{np.linalg.norm([40, 30, 20]):.1f} mm" in text
    assert "12" in text and "4 poses that look the same" in text
    assert (tmp_path / "objects" / "box").is_dir()


def test_a_guessed_unit_is_told_with_the_sizes_of_others(
    mesh_mm: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert add(mesh_mm, tmp_path, "--id", "box") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The unit is a guess: mm" in text and "539 mm in cm" in text and "in m" not in text
    assert add(mesh_mm, tmp_path, "--id", "box", "--unit", "mm", "--replace") == 0
    assert "is a guess" not in capsys.readouterr().out


def wrong_unit(tmp_path: Path, mesh: Path) -> list[str]:
    return [str(mesh), "--id", "box", "--unit", "m"]


def missing(tmp_path: Path, mesh: Path) -> list[str]:
    return [str(tmp_path / "none.stl"), "--id", "box"]


def empty(tmp_path: Path, mesh: Path) -> list[str]:
    (tmp_path / "empty.stl").write_bytes(b"")
    return [str(tmp_path / "empty.stl"), "--id", "box"]


def open_mesh(tmp_path: Path, mesh: Path) -> list[str]:
    box = trimesh.creation.box((40, 30, 20))
    box.update_faces(np.arange(len(box.faces)) < 7)
    box.export(tmp_path / "open.ply")
    return [str(tmp_path / "open.ply"), "--id", "box"]


def strange_id(tmp_path: Path, mesh: Path) -> list[str]:
    return [str(mesh), "--id", "../box"]


@pytest.mark.parametrize("case", [wrong_unit, missing, empty, open_mesh, strange_id])
def test_bad_meshes_are_told_in_one_sentence(
    case, mesh_mm: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["add", "--catalogue", str(tmp_path / "objects"), *case(tmp_path, mesh_mm)]) == cli.FAILED
    message = capsys.readouterr().err
    assert message.startswith("error:") and "Traceback" not in message
    assert len(message.strip().splitlines()) == 1
    assert not list((tmp_path / "objects").glob("**/*"))


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_unknown_parts_are_told_with_the_known_ones(
    command: str, mesh_mm: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    add(mesh_mm, tmp_path, "--id", "box", "--unit", "mm")
    catalogue = ["--catalogue", str(tmp_path / "objects")]
    assert cli.main([command, "--objects", "box,cog", "--out", str(tmp_path / "out"), *catalogue]) == cli.FAILED
    message = capsys.readouterr().err
    assert "'cog'" in message and "box" in message and "binpose add" in message
    assert not (tmp_path / "out").exists()


def test_simulate_without_parts_says_what_to_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["simulate", "--out", str(tmp_path / "out")]) == cli.FAILED
    assert "--parts" in capsys.readouterr().err


def test_markup_in_a_message_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert add(tmp_path / "[bold]x.stl", tmp_path, "--id", "box") == cli.FAILED
    assert "[bold]x.stl" in capsys.readouterr().err


def test_paths_with_brackets_are_shown_as_they_are(
    mesh_mm: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    catalogue = tmp_path / "parts[new][" / "[/x]"
    assert cli.main(["add", str(mesh_mm), "--id", "box", "--unit", "mm", "--catalogue", str(catalogue)]) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert "parts[new][/[/x]/box/object.json" in shown and "binposetrain--objectsbox" in shown


def test_a_spinner_shows_a_path_with_brackets_as_it_is() -> None:
    console = Console(force_terminal=True, file=io.StringIO(), width=60)
    console.print(waiting("Opening runs/[test]/[/x] ...").renderable)
    assert "Opening runs/[test]/[/x] ..." in console.file.getvalue()


def test_the_version_is_told(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"binpose {version('binpose')}\n"


def test_an_unknown_command_or_option_is_refused() -> None:
    for arguments in (["fly"], ["models", "--no-such-option"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == cli.FAILED


def test_a_step_of_its_own_names_the_kernels_that_are_compiled(capsys: pytest.CaptureFixture) -> None:
    from numba import njit

    @njit
    def kernel(x):  # type: ignore[no-untyped-def]
        return x

    with compiling():
        pass
    assert capsys.readouterr().out == "", "with a full cache nothing is shown"
    with compiling():
        kernel(1)
    assert COMPILING in capsys.readouterr().out
