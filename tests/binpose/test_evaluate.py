"""`binpose evaluate` tells right from wrong, per object, and says what it does not know."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from binpose import cli
from binpose.commands import estimate
from binpose.evaluation_report import HEADER, formatted_row
from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset, read_results, write_results
from binpose_core.parts.symmetries import Symmetries
from binpose_pipeline import run_evaluation
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.reliability import reliability_json, reliability_svg
from binpose_pipeline.run_evaluation import matched_objects, read_regions
from binpose_refinement.reliability import reliability

Evaluate = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, bundle: PipelineBundle, dataset: Path, tmp_path: Path) -> Path:
    """A run of the stand-in model, which knows every pose."""
    monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: bundle)
    assert cli.main(["estimate", str(dataset), "--model", "standin", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


@pytest.fixture
def known_objects(monkeypatch: pytest.MonkeyPatch, objects: Sequence) -> None:
    """Spares the search for symmetries, which one test does for all."""
    by_id = {model.id: model for model in objects}
    monkeypatch.setattr(run_evaluation, "make_object", lambda mesh, id, bop_id, symmetries: by_id[id])


@pytest.fixture
def evaluate(run: Path, dataset: Path) -> Evaluate:
    return lambda *options: cli.main(["evaluate", str(run), "--dataset", str(dataset), *options])


def figures(run: Path) -> dict[str, dict]:
    return {row["object_id"]: row for row in json.loads((run / "evaluation.json").read_text())["objects"]}


def test_true_poses_are_all_right(evaluate: Evaluate, run: Path, capsys: pytest.CaptureFixture) -> None:
    assert evaluate() == 0
    rows = figures(run)
    assert set(rows) == {"step", "rod", "all"}
    assert rows["all"]["parts"] == rows["all"]["found"] == 9
    assert rows["all"]["recall"] == rows["all"]["precision"] == rows["all"]["mssd_recall"] == 1.0
    assert rows["all"]["mssd"] == rows["all"]["mspd"] == 1.0
    assert rows["all"]["vsd"] > 0.99
    assert rows["all"]["median_error_mm"] < 1e-3
    assert rows["all"]["auc"] > 0.999
    assert (rows["step"]["metric"], rows["rod"]["metric"]) == ("ADD", "ADD-S")  # found from the meshes
    output = capsys.readouterr().out
    assert "step" in output and "1.000" in output


@pytest.mark.usefixtures("known_objects")
def test_the_page_shows_every_frame(evaluate: Evaluate, run: Path) -> None:
    evaluate()
    page = (run / "evaluation.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    assert "9 of 9 known parts found" in page and "<svg" in page and ">AUC</th>" in page


@pytest.mark.usefixtures("known_objects")
def test_poses_that_are_off_are_wrong(run: Path, dataset: Path) -> None:
    shift = np.zeros((4, 4))
    shift[0, 3] = 0.03
    results = read_results(run / "results.csv")
    moved = [replace(r, T_cam_obj=r.T_cam_obj + shift) if r.obj_id == 1 else r for r in results]
    write_results(run / "results.csv", moved)
    assert cli.main(["evaluate", str(run), "--dataset", str(dataset)]) == 0
    rows = figures(run)
    assert (rows["step"]["recall"], rows["step"]["precision"], rows["step"]["wrong"]) == (0.0, 0.0, 6)
    assert (rows["rod"]["recall"], rows["rod"]["wrong"]) == (1.0, 0)
    assert rows["all"]["recall"] == pytest.approx(1 / 3)


@pytest.mark.usefixtures("known_objects")
def test_a_failed_frame_counts_as_missed(run: Path, dataset: Path) -> None:
    (dataset / "test" / "000000" / "rgb" / "000002.png").unlink()
    assert cli.main(["estimate", str(dataset), "--model", "standin", "--out", str(run)]) == 1
    assert cli.main(["evaluate", str(run), "--dataset", str(dataset)]) == 0
    assert (figures(run)["all"]["parts"], figures(run)["all"]["found"]) == (9, 6)
    assert "000000_000002" in " ".join(json.loads((run / "evaluation.json").read_text())["notes"])


@pytest.mark.usefixtures("known_objects")
@pytest.mark.parametrize("regions", [False, True])
def test_a_frame_that_cannot_be_read_is_missed_and_changes_no_other(
    evaluate: Evaluate, run: Path, dataset: Path, tmp_path: Path, regions: bool
) -> None:
    (tmp_path / "regions.json").write_text('{"*": [[[-1, -1], [160, -1], [160, 120], [-1, 120]]]}')
    path = dataset / "test" / "000000" / "scene_camera.json"
    cameras = json.loads(path.read_text())
    cameras["1"]["cam_K"] = [0.0] * 9
    path.write_text(json.dumps(cameras))
    assert evaluate(*(["--regions", str(tmp_path / "regions.json")] if regions else [])) == 0
    row = figures(run)["all"]
    assert (row["parts"], row["found"], row["wrong"]) == (9, 6, 0)
    assert row["mssd"] == row["mspd"] == pytest.approx(6 / 9)
    assert row["vsd"] == pytest.approx(6 / 9, abs=0.01)
    content = json.loads((run / "evaluation.json").read_text())
    assert content["frames"]["000000_000001"] == []
    assert "Frame 000000_000001 counts as missed" in " ".join(content["notes"])


@pytest.mark.usefixtures("known_objects")
def test_a_run_of_chosen_parts_is_judged_on_them_alone(evaluate: Evaluate, run: Path, dataset: Path) -> None:
    options = ["--model", "standin", "--out", str(run), "--objects", "rod"]
    assert cli.main(["estimate", str(dataset), *options]) == 0
    assert evaluate() == 0
    rows = figures(run)
    assert set(rows) == {"rod", "all"}
    assert (rows["all"]["parts"], rows["all"]["found"], rows["all"]["wrong"]) == (3, 3, 0)
    assert rows["all"]["recall"] == rows["all"]["precision"] == 1.0


@pytest.mark.usefixtures("known_objects")
def test_poses_below_the_threshold_enter_the_reliability_alone(evaluate: Evaluate, run: Path, dataset: Path) -> None:
    options = ["--model", "standin", "--out", str(run), "--threshold", "0.85"]
    assert cli.main(["estimate", str(dataset), *options]) == 0
    assert evaluate() == 0
    content = json.loads((run / "evaluation.json").read_text())
    assert (figures(run)["all"]["found"], figures(run)["all"]["parts"]) == (6, 9)
    assert sum(content["reliability"]["count"]) == 9 and min(content["reliability"]["score"]) < 0.85
    for path in run.glob("frames/*/poses.json"):  # as runs were before they kept those poses
        poses = json.loads(path.read_text())
        del poses["rejected"]
        path.write_text(json.dumps(poses))
    assert evaluate() == 0
    content = json.loads((run / "evaluation.json").read_text())
    assert sum(content["reliability"]["count"]) == 6
    assert sum("reliability diagram begins there" in note for note in content["notes"]) == 1


@pytest.mark.usefixtures("known_objects")
@pytest.mark.parametrize("rejected", ["3", "[3]", '[{"object_id": "rod", "T_cam_obj": [1], "score": 0.1}]'])
def test_a_damaged_file_of_poses_is_told(
    evaluate: Evaluate, run: Path, capsys: pytest.CaptureFixture, rejected: str
) -> None:
    (run / "frames" / "000000_000000" / "poses.json").write_text(f'{{"rejected": {rejected}}}')
    assert evaluate() == 2
    assert "poses.json" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.usefixtures("known_objects")
def test_doubtful_annotations_do_not_count_and_leave_no_precision(evaluate: Evaluate, run: Path, dataset: Path) -> None:
    path = dataset / "test" / "000000" / "scene_gt_info.json"
    infos = json.loads(path.read_text())
    for entries in infos.values():
        for entry, confidence in zip(entries, ("high", "medium", "low"), strict=True):
            entry["annotation_confidence"] = confidence
    path.write_text(json.dumps(infos))
    evaluate()
    rows = figures(run)
    assert rows["all"]["parts"] == 6 and rows["all"]["precision"] is None
    evaluate("--complete", "rod")
    assert figures(run)["rod"]["precision"] == 1.0


@pytest.mark.usefixtures("known_objects")
def test_estimates_outside_the_regions_are_counted(
    evaluate: Evaluate, run: Path, dataset: Path, tmp_path: Path
) -> None:
    truth_path = dataset / "test" / "000000" / "scene_gt.json"
    truth_path.write_text(json.dumps({key: [] for key in json.loads(truth_path.read_text())}))
    (dataset / "test" / "000000" / "scene_gt_info.json").unlink()
    regions = tmp_path / "regions.json"
    left_half = [[-1, -1], [79, -1], [79, 120], [-1, 120]]
    regions.write_text(json.dumps({"*": [left_half]}))
    evaluate("--regions", str(regions), "--complete", "")
    outside = figures(run)["all"]["outside"]
    assert 3 <= outside < 9  # the part on the right of each frame, at least
    assert figures(run)["all"]["unknown"] == 9 - outside


@pytest.mark.parametrize("content", ["[]", '{"a": [[[1, 2]]]}', '{"a": 3}', '{"a": [[["x", 2], [1, 2], [1, 3]]]}'])
def test_regions_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "regions.json").write_text(content)
    with pytest.raises(BinposeError, match="regions"):
        read_regions(tmp_path / "regions.json")


def test_objects_match_by_name_before_number(dataset: Path) -> None:
    data = BopDataset(dataset)  # 1 step, 2 rod
    assert matched_objects({"rod": 1, "step": 2}, data, {}) == {1: "step", 2: "rod"}
    assert matched_objects({"axle": 2}, data, {}) == {2: "axle"}
    with pytest.raises(BinposeError, match="cog"):
        matched_objects({"cog": 7}, data, {})


def test_a_number_alone_does_not_match_objects_of_other_sizes(dataset: Path) -> None:
    data = BopDataset(dataset)
    size_m = data.models[2].diameter_m
    assert matched_objects({"rod": 2, "axle": 1}, data, {"axle": data.models[1].diameter_m}) == {1: "axle", 2: "rod"}
    assert matched_objects({"axle": 2}, data, {"axle": 1.01 * size_m}) == {2: "axle"}
    with pytest.raises(BinposeError, match="axle"):
        matched_objects({"axle": 2}, data, {"axle": 1.4 * size_m})


def test_symmetries_that_a_data_set_lists_are_not_searched_for(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = BopDataset(dataset).model(1)
    searched: list[object] = []
    monkeypatch.setattr(
        "binpose_core.parts.objects.find_symmetries", lambda mesh: searched.append(mesh) or Symmetries.none()
    )
    turn = {"symmetries_continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}
    listed = run_evaluation.dataset_object(replace(model, info={**model.info, **turn}), "step")
    assert len(listed.symmetries.continuous) == 1 and not searched
    plain = {key: value for key, value in model.info.items() if not key.startswith("symmetries")}
    run_evaluation.dataset_object(replace(model, info=plain), "step")
    assert len(searched) == 1


@pytest.mark.usefixtures("known_objects")
@pytest.mark.parametrize(
    "change", [{"objects": ["step"]}, {"objects": {"step": "1"}}, {"frames": 3}, {"threshold": "high"}]
)
def test_a_record_of_another_kind_is_told(
    run: Path, dataset: Path, capsys: pytest.CaptureFixture, change: dict[str, object]
) -> None:
    record = run / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    assert cli.main(["evaluate", str(run), "--dataset", str(dataset)]) == 2
    assert f"is not the record of a run ({next(iter(change))} is" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("known_objects")
def test_what_is_no_run_or_another_data_sets_is_refused(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["evaluate", str(tmp_path / "none"), "--dataset", str(dataset)]) == 2
    assert "binpose estimate" in capsys.readouterr().err
    (dataset / "test" / "000000").rename(dataset / "test" / "000007")
    assert cli.main(["evaluate", str(run), "--dataset", str(dataset)]) == 2
    assert "None of the 3 frames" in capsys.readouterr().err
    (run / "run.json").write_text("{")
    assert cli.main(["evaluate", str(run), "--dataset", str(dataset)]) == 2


def test_the_diagram_has_a_dot_per_bin_of_scores(rng: np.random.Generator) -> None:
    scores = rng.random(2000)
    honest = reliability(scores, rng.random(2000) < scores)
    svg = reliability_svg(honest)
    assert svg.count("<circle") == svg.count("<rect") == 10
    heights = [float(value) for value in re.findall(r"<circle[^>]*cy='([0-9.]+)'", svg)]
    assert heights == sorted(heights, reverse=True)  # more right ones at higher scores, y points down
    assert reliability_json(honest)["calibration_error"] < 0.05
    nothing = reliability(np.zeros(0), np.zeros(0, bool))
    assert "<circle" not in reliability_svg(nothing) and reliability_json(nothing)["count"] == []


@pytest.mark.usefixtures("known_objects")
def test_every_column_has_its_cell(evaluate: Evaluate, run: Path) -> None:
    from binpose_pipeline.evaluation import EvaluationRow

    evaluate()
    rows = [EvaluationRow(**row) for row in figures(run).values()]
    assert {len(formatted_row(row)) for row in rows} == {len(HEADER)}
