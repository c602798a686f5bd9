"""The demo's page and files, with stand-ins that know the truth in place of trained weights."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from binpose import cli
from binpose.commands import demo
from binpose_core.base.files import write_json
from binpose_core.datasets.bop import BopDataset, BopWriter, read_results
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.runs import FrameOutcome
from binpose_simulation import export
from binpose_simulation.scene import SceneConfig


@pytest.fixture
def out(
    tmp_path: Path,
    bundle: PipelineBundle,
    objects: Sequence,
    scenes: Sequence,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A demo run in which the three known scenes stand for the simulation, and one estimate is far off."""

    def recorded(
        root: Path, parts: Sequence, count: int, config: object, seed: int, split: str, *, on_view, on_part
    ) -> int:
        with BopWriter(root, split, seed, objects) as writer:
            for number, scene in enumerate(scenes[:count]):
                writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
                on_part(number + 1, count, "part")
                on_view(number + 1, count)
        return count

    ranked = type(bundle.refiner).__call__

    def refine(self: object, *arguments: object) -> list:
        poses = ranked(self, *arguments)
        wrong = poses[-1].T_cam_obj.copy()
        wrong[0, 3] += 0.05
        return [*poses, replace(poses[-1], T_cam_obj=wrong, score=0.1)]

    monkeypatch.setattr(demo, "load_bundle", lambda *_, **__: bundle)
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


@pytest.fixture
def made(tmp_path: Path, bundle: PipelineBundle, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Runs the demo on settings that are as in a real run, and returns how many frames were made anew."""
    counts: list[int] = []

    def written(
        root: Path, parts: Sequence, count: int, config: SceneConfig, seed: int, split: str, **_: object
    ) -> int:
        settings = export.export_settings(parts, config)
        scene = export.scene_directory(root, split, seed)
        assert not export.changed_settings(scene, settings)
        counts.append(count - export.views_there(root, split, seed))
        write_json(scene / export.SETTINGS, settings)
        write_json(scene / "scene_camera.json", {number: {} for number in range(count)})
        return counts[-1]

    def shown(*_: object) -> tuple:
        return [], None

    def run(objects: Sequence, seed: int = 5) -> int:
        monkeypatch.setattr(
            demo, "load_bundle", lambda *_, **__: replace(bundle, objects={part.id: part for part in objects})
        )
        assert cli.main(["demo", "--out", str(tmp_path / "demo"), "--frames", "3", "--seed", str(seed)]) == 0
        return counts[-1]

    monkeypatch.setattr(export, "export_bop", written)
    monkeypatch.setattr(demo, "show_demo", shown)
    monkeypatch.setattr(demo, "evaluation_table", lambda _: "")
    return run


def test_frames_are_taken_again_only_where_the_same_parts_made_them(
    made: Callable, objects: Sequence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [made(objects), made(objects), made(objects, seed=6), made(objects)] == [3, 0, 3, 0]
    (tmp_path / "demo" / "dataset" / "models").mkdir()
    assert made(objects[:1]) == 3
    assert not (tmp_path / "demo" / "dataset" / "models").exists(), "the models are those of the other parts"
    assert made(objects[:1], seed=6) == 3
    monkeypatch.setattr(demo, "demo_scene", lambda: SceneConfig(views_per_pile=3))
    assert made(objects[:1]) == 3 and made(objects[:1]) == 0


def test_frames_of_others_are_not_deleted(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    frames = sorted((out / "dataset").rglob("*"))
    assert cli.main(["demo", "--out", str(out), "--frames", "3", "--seed", "5"]) == cli.FAILED
    assert "not written by this simulation" in capsys.readouterr().err
    assert sorted((out / "dataset").rglob("*")) == frames


def test_a_failed_frame_shows_in_the_exit_status(
    made: Callable, objects: Sequence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made(objects)
    failed = FrameOutcome("5-0", 5, 0, error="no depth")
    monkeypatch.setattr(demo, "show_demo", lambda *_: ([failed], None))
    assert cli.main(["demo", "--out", str(tmp_path / "demo"), "--frames", "3", "--seed", "5"]) == 1


def test_the_demo_scene_is_one_full_bin_of_several_types() -> None:
    scene = demo.demo_scene()
    assert scene.content.parts[0] >= 10 and scene.content.types[0] >= 4
    assert scene.content.mixed_share == 1.0 and scene.content.row_share == 0.0
