"""`binpose estimate` end to end, with the poses of stand-ins for the networks."""

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from binpose import cli
from binpose.commands import estimate
from binpose.commands.command import split_names
from binpose.commands.estimate import with_refiner
from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import read_results
from binpose_pipeline.bundle import PipelineBundle, save_bundle
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.network import RefinementNetworkConfig
from binpose_refinement.network_optimizer import NetworkOptimizer
from binpose_refinement.network_training import make_network
from binpose_refinement.refiner import IcpRefiner

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, bundle: PipelineBundle, dataset: Path, tmp_path: Path) -> Run:
    """Runs `binpose estimate` on the data set into tmp_path/run with the stand-in model."""
    monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: bundle)
    monkeypatch.setattr("binpose_pipeline.kernels.compile_kernels", lambda *_: None)  # which runs each stage

    def call(*options: str, path: Path = dataset) -> int:
        return cli.main(["estimate", str(path), "--model", "standin", "--out", str(tmp_path / "run"), *options])

    return call


def test_poses_reach_the_results_file_unchanged(run: Run, tmp_path: Path, scenes: Sequence) -> None:
    assert run() == 0
    results = read_results(tmp_path / "run" / "results.csv")
    assert len(results) == 9
    first = [result for result in results if result.image_id == 0]
    np.testing.assert_allclose([result.T_cam_obj for result in first], scenes[0].T_cam_obj, atol=1e-9)
    assert [result.obj_id for result in first] == [1, 2, 1]
    assert len({result.time_s for result in first}) == 1


def test_each_frame_has_its_poses_and_its_picture(run: Run, tmp_path: Path, scenes: Sequence) -> None:
    run()
    directory = tmp_path / "run" / "frames" / "000000_000001"
    content = json.loads((directory / "poses.json").read_text())
    np.testing.assert_allclose([pose["T_cam_obj"] for pose in content["poses"]], scenes[1].T_cam_obj, atol=1e-8)
    assert set(content["seconds"]) == {"detection", "pose", "refinement"}
    overlay = cv2.imread(str(directory / "overlay.png"))
    assert overlay.shape == scenes[1].frame.color.shape
    assert (overlay != scenes[1].frame.color).any(axis=-1).mean() > 0.05


def test_the_report_holds_every_picture_and_needs_nothing_else(run: Run, tmp_path: Path) -> None:
    run()
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6  # three inputs, three overlays
    for outside in ("<script src=", "<link", "url(http", "src='http"):
        assert outside not in page


def test_threshold_and_objects_choose_what_is_reported(run: Run, tmp_path: Path) -> None:
    run("--threshold", "0.85", "--objects", "rod")
    results = read_results(tmp_path / "run" / "results.csv")
    assert {result.obj_id for result in results} == {2}
    assert min(result.score for result in results) >= 0.85


def test_nothing_is_reported_outside_the_region(run: Run, tmp_path: Path) -> None:
    run()
    everywhere = read_results(tmp_path / "run" / "results.csv")
    run("--region", "0,0 80,0 80,120 0,120")
    inside = read_results(tmp_path / "run" / "results.csv")
    assert 0 < len(inside) < len(everywhere)


def test_a_region_that_is_none_stops_the_run(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("--region", "0,0 64,0") == 2
    assert "expected at least three corners" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_bad_frame_is_told_and_the_others_go_on(
    run: Run, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (dataset / "test" / "000000" / "depth" / "000001.png").unlink()
    assert run() == 1
    assert {result.image_id for result in read_results(tmp_path / "run" / "results.csv")} == {0, 2}
    message = capsys.readouterr().err
    assert "000000_000001" in message and "depth" in message
    assert message.count("skipped") == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "error" in record["frames"]["000000_000001"]
    assert "could not be processed" in (tmp_path / "run" / "report.html").read_text()


def test_an_image_of_another_size_than_the_intrinsics_is_refused(
    run: Run, dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    path = dataset / "test" / "000000" / "rgb" / "000000.png"
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (80, 60)))
    assert run() == 1
    message = capsys.readouterr().err
    assert "80x60" in message and "160x120" in message


@pytest.mark.parametrize("scale", [0.0, 1000.0])
def test_depth_of_nothing_or_in_the_wrong_unit_is_refused(
    run: Run, dataset: Path, capsys: pytest.CaptureFixture, scale: float
) -> None:
    path = dataset / "test" / "000000" / "scene_camera.json"
    cameras = json.loads(path.read_text())
    cameras["0"]["depth_scale"] = 0.1 * scale or 1e-9
    path.write_text(json.dumps(cameras))
    assert run() == 1
    assert "depth" in capsys.readouterr().err


def test_unknown_objects_stop_the_run_before_the_first_frame(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("--objects", "cog") == 2
    message = capsys.readouterr().err
    assert "names cog" in message and "step" in message and "rod" in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_a_place_that_is_a_file_is_told_before_the_first_frame(
    run: Run, tmp_path: Path, bundle: PipelineBundle, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").write_text("a file")
    monkeypatch.setattr(type(bundle.refiner), "__call__", lambda *_: pytest.fail("a frame was processed"))
    assert run() == 2
    message = capsys.readouterr().err
    assert message.count("error:") == 1 and "File exists; expected a place to write to" in message
    assert (tmp_path / "run").read_text() == "a file"


def test_a_full_disk_is_told(run: Run, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "overlay" in path.name or "report" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run() == 2
    message = capsys.readouterr().err
    assert message.count("error:") == 1 and "no space is left" in message and "Traceback" not in message


def test_nothing_of_an_earlier_run_stays(run: Run, dataset: Path, tmp_path: Path) -> None:
    run()
    frames = tmp_path / "run" / "frames"
    (frames / "000000_000009").mkdir()
    (frames / "000000_000009" / "poses.json").write_text("{}")  # of another data set
    (frames / "000000_000002" / "notes.txt").write_text("not ours")
    for name in ("000000_000000", "000000_000009"):  # of a run with --explain
        (frames / name / "explain").mkdir()
        (frames / name / "explain" / "00_step.png").write_bytes(b"png")
    (tmp_path / "run" / "evaluation.json").write_text("{}")
    for number in (1, 2):
        (dataset / "test" / "000000" / "depth" / f"00000{number}.png").unlink()
    assert run() == 1
    left = {str(path.relative_to(frames)) for path in frames.rglob("*") if path.is_file()}
    assert left == {"000000_000000/poses.json", "000000_000000/overlay.png", "000000_000002/notes.txt"}
    assert not (frames / "000000_000001").exists() and not (frames / "000000_000009").exists()
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_poses_below_the_threshold_are_kept_apart(run: Run, tmp_path: Path) -> None:
    run("--threshold", "0.85")
    content = json.loads((tmp_path / "run" / "frames" / "000000_000000" / "poses.json").read_text())
    assert [pose["score"] for pose in content["poses"]] == pytest.approx([0.99, 0.89])
    assert [pose["score"] for pose in content["rejected"]] == pytest.approx([0.79])


@pytest.fixture
def stored(networks: PipelineBundle, tmp_path: Path) -> Path:
    """An untrained model on disk."""
    save_bundle(networks, tmp_path / "model")
    return tmp_path / "model"


def test_a_recording_without_depth_is_told_what_to_do(
    stored: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.rmtree(dataset / "test" / "000000" / "depth")
    assert cli.main(["estimate", str(dataset), "--model", str(stored), "--out", str(tmp_path / "run")]) == 1
    message = capsys.readouterr().err
    assert message.count("has no depth") == message.count("record depth too") == 3
    assert "--depth" not in message


def test_devices_are_cpu_and_a_gpu_that_is_there(
    stored: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["estimate", str(dataset), "--model", str(stored), "--out", str(tmp_path / "run"), "--device"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cli.main([*command, "cuda"]) == 2
    assert "torch sees no GPU" in capsys.readouterr().err
    assert cli.main([*command, "gpu"]) == 2
    assert "expected cpu or cuda" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_scores_that_are_no_probabilities_are_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run()  # the stand-in has no calibration
    assert "not calibrated" in " ".join(capsys.readouterr().out.split())
    assert "scores of this model are not calibrated" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["calibrated"] is False


def test_missing_input_and_unknown_split_are_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(path=tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert run("--split", "real") == 2
    assert "real" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(
    run: Run, monkeypatch: pytest.MonkeyPatch, bundle: PipelineBundle, tmp_path: Path
) -> None:
    refine, seen = bundle.refiner, []

    def interrupted(self: object, *arguments: object) -> list:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return list(refine_plainly(refine, *arguments))

    refine_plainly = type(refine).__call__
    monkeypatch.setattr(type(refine), "__call__", interrupted)
    assert run() == 130
    assert {result.image_id for result in read_results(tmp_path / "run" / "results.csv")} == {0, 1}
    assert (tmp_path / "run" / "report.html").is_file()


def test_debug_shows_where_an_error_came_from(run: Run, tmp_path: Path) -> None:
    with pytest.raises(BinposeError):
        run("--debug", path=tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["a,,b", "a,a", ","])
def test_lists_of_names_are_checked(text: str) -> None:
    with pytest.raises(BinposeError, match="--objects"):
        split_names(text, "--objects")


def test_lists_of_names_are_split() -> None:
    assert split_names("gear, bolt", "--objects") == ("gear", "bolt")
    assert split_names("", "--objects") == ()


def test_the_refiner_is_the_one_asked_for(networks: PipelineBundle) -> None:
    objects = dict(networks.objects)
    network = make_network(RefinementNetworkConfig(tuple(objects), width=8, points=16), PartRenderer(objects, ()))
    bundle = networks.using(refiner=networks.refiner.using(network=network))  # type: ignore[attr-defined]
    assert with_refiner(bundle, "model") is bundle
    for method in ("icp", "render_and_compare", "network"):
        refiner = with_refiner(bundle, method).refiner
        assert isinstance(refiner, IcpRefiner) and refiner.config.method == method
        assert (refiner.optimizer is None) == (method == "icp")
        assert refiner.calibration is networks.refiner.calibration  # type: ignore[attr-defined]
        assert isinstance(refiner.optimizer, NetworkOptimizer) == (method == "network")


def test_a_model_without_a_refinement_network_says_so(networks: PipelineBundle) -> None:
    with pytest.raises(BinposeError, match="the model has no refinement network; expected one; train it"):
        with_refiner(networks, "network")
