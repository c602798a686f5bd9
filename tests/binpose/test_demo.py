"""The demo's page and files, with stand-ins that know the truth in place of trained weights."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from binpose import cli
from binpose.bundle import ModelBundle
from binpose.commands import demo
from binpose_core.bop import BopDataset, BopWriter, read_results
from binpose_simulation import export


@pytest.fixture
def out(
    tmp_path: Path,
    bundle: ModelBundle,
    objects: Sequence,
    scenes: Sequence,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A demo run in which the three known scenes stand for the simulation, and one estimate is far off."""

    def recorded(root: Path, parts: Sequence, count: int, config: object, seed: int, split: str, on_view) -> int:
        with BopWriter(root, split, seed, objects) as writer:
            for number, scene in enumerate(scenes[:count]):
                writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
                on_view(number + 1, count)
        return count

    ranked = type(bundle.refiner).__call__

    def refine(self: object, *arguments: object) -> list:
        poses = ranked(self, *arguments)
        wrong = poses[-1].T_cam_obj.copy()
        wrong[0, 3] += 0.05
        return [*poses, replace(poses[-1], T_cam_obj=wrong, score=0.1)]

    monkeypatch.setattr(demo, "load_bundle", lambda *_: bundle)
    monkeypatch.setattr(export, "export_bop", recorded)
    monkeypatch.setattr(type(bundle.refiner), "__call__", refine)
    assert cli.main(["demo", "--out", str(tmp_path / "demo"), "--frames", "3", "--seed", "5"]) == 0
    return tmp_path / "demo"


def test_the_page_tells_and_shows_everything(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "9 of 9 parts found" in page
    assert page.count("data:image/jpeg;base64,") == 6
    for needed in ("Plotly", "<svg class='chart'", "median error mm", "refinement", "ADD-S", "results.csv"):
        assert needed in page


def test_the_same_data_lies_beside_the_page(out: Path) -> None:
    frames = list(BopDataset(out / "dataset").frames("sim"))
    assert len(frames) == 3
    assert len(read_results(out / "results.csv")) == 9  # the doubtful ones are not reported
    for frame in frames:
        assert len(json.loads((out / "frames" / frame.name / "poses.json").read_text())["poses"]) == 3
        assert (out / "frames" / frame.name / "overlay.png").stat().st_size > 1000


def test_doubtful_estimates_enter_the_reliability_diagram_only(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "12 estimates" in page  # three frames with three sure ones and a doubtful one each


def test_the_demo_scene_is_one_full_bin_of_several_types() -> None:
    scene = demo.demo_scene()
    assert scene.content.parts[0] >= 10 and scene.content.types[0] >= 4
    assert scene.content.mixed_share == 1.0 and scene.content.row_share == 0.0
