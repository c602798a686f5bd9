from pathlib import Path

import pytest
import trimesh

from binpose.cli import main
from binpose_core.parts.catalogue import GRASP_PICTURE, Catalogue
from binpose_grasping.grasp_file import read_grasps

QUICK = ["--search.points", "60", "--search.tested", "12", "--search.errors.samples", "2", "--search.pairs", "40"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cad")
    for name, sides in (("bar", (0.06, 0.02, 0.025)), ("block", (0.1, 0.11, 0.12))):
        trimesh.creation.box(sides).export(folder / f"{name}.stl")
        assert (
            main(["add", str(folder / f"{name}.stl"), "--id", name, "--unit", "m", "--catalogue", str(folder / "o")])
            == 0
        )
    return str(folder / "o")


def test_grasps_are_stored_drawn_exported_and_taken_back(
    objects: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "bar.json"
    assert main(["grasps", "bar", "--catalogue", objects, "--export", str(exported), *QUICK]) == 0
    assert "parallel" in capsys.readouterr().out
    stored = Catalogue(objects).load("bar").grasps
    assert stored is not None and len(stored) > 3
    assert (Path(objects) / "bar" / GRASP_PICTURE).read_bytes().startswith(b"\x89PNG")
    assert len(read_grasps(exported, "bar")) == len(stored)
    assert main(["grasps", "bar", "--catalogue", objects, "--own", str(exported)]) == 0
    own = Catalogue(objects).load("bar").grasps
    assert own is not None and own.info["own"] == "bar.json" and len(own) == len(stored)


def test_a_part_without_a_grasp_says_why(objects: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grasps", "block", "--catalogue", objects, "--suction.no-enabled", *QUICK]) == 1
    assert "no two opposite surfaces between 1 and 74 mm apart" in " ".join(capsys.readouterr().out.split())
    stored = Catalogue(objects).load("block").grasps
    assert stored is not None and len(stored) == 0


def test_mistakes_are_one_sentence(objects: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grasps", "cog", "--catalogue", objects]) == 2
    assert "No object 'cog'" in capsys.readouterr().err
    assert main(["grasps", "all", "--catalogue", objects, "--export", str(tmp_path / "x.json")]) == 2
    assert "--own and --export with 2 parts; expected one part; name it" in capsys.readouterr().err
    assert main(["grasps", "all", "--catalogue", str(tmp_path / "none")]) == 2
    assert "expected at least one; add it with `binpose add`" in capsys.readouterr().err
