"""`binpose bag`, and `binpose estimate` on bags."""

from pathlib import Path

import pytest

from binpose import cli
from binpose.commands import estimate
from binpose_core.datasets.bop import read_results
from binpose_core.datasets.folder import open_frames
from binpose_pipeline.bundle import PipelineBundle
from binpose_recording.config import BagConfig
from binpose_recording.frame_bag import write_frames


@pytest.fixture
def bag(dataset: Path, tmp_path: Path) -> Path:
    """The frames of the data set as a bag of several segments."""
    frames = [source.read() for source in open_frames(dataset)]
    write_frames(tmp_path / "bag", frames, BagConfig(segment_mb=0.2, compression="none"))
    return tmp_path / "bag"


def words(capsys: pytest.CaptureFixture) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_bag_gives_the_poses_of_the_frames_it_was_made_of(
    bag: Path, dataset: Path, tmp_path: Path, bundle: PipelineBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: bundle)
    found = {}
    for name, path in {"bag": bag, "file": sorted(bag.glob("*.mcap"))[0], "frames": dataset}.items():
        out = tmp_path / f"run_{name}"
        assert cli.main(["estimate", str(path), "--model", "standin", "--out", str(out)]) == 0
        results = read_results(out / "results.csv")
        found[name] = [(item.image_id, item.obj_id, item.score, item.T_cam_obj.tolist()) for item in results]
    assert found["bag"] == found["frames"] and len(found["frames"]) == 9
    assert found["file"] == [item for item in found["frames"] if item[0] < 2]
    names = sorted(path.name for path in (tmp_path / "run_bag" / "frames").iterdir())
    assert names[0] == "1700000000_000000000" and len(names) == 3  # By their stamps, as in the robot's logs.


def test_a_bag_tells_what_it_holds(bag: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["bag", str(bag)]) == 0
    text = words(capsys)
    assert "9 messages" in text and "sensor_msgs/msg/CameraInfo" in text
    assert "3 frames of /camera/color/image_raw and /camera/aligned_depth_to_color/image_raw." in text


def test_a_damaged_bag_says_what_is_lost_and_is_repaired(bag: Path, capsys: pytest.CaptureFixture) -> None:
    path = sorted(bag.glob("*.mcap"))[-1]
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    assert cli.main(["bag", str(bag)]) == 0
    text = words(capsys)
    assert f"{path.name} is damaged or was cut" in text and "1 lost" in text and "--repair" in text
    assert cli.main(["bag", str(bag), "--repair"]) == 0
    text = words(capsys)
    assert f"{path.name}: 2 messages saved, lost 1 message" in text
    assert f"kept as {path.name}.damaged" in text and path.with_name(f"{path.name}.damaged").read_bytes() == whole
    assert cli.main(["bag", str(bag), "--repair"]) == 0
    text = words(capsys)
    assert "intact: nothing to repair" in text and "lost" not in text


def test_a_bag_of_which_nothing_is_left_is_refused(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty.mcap").write_bytes(b"")
    for options in ([], ["--repair"]):
        assert cli.main(["bag", str(tmp_path / "empty.mcap"), *options]) == cli.FAILED
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_mistakes_are_told_in_one_sentence(
    bag: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    more = ["--model", "x", "--out", str(tmp_path / "run")]
    for arguments, sentence in (
        (["bag", str(tmp_path / "nothing")], "Nothing at"),
        (["bag", str(tmp_path / "nothing"), "--repair"], "Nothing at"),
        (["bag", str(dataset)], "neither *.mcap nor *.db3"),
        (["estimate", str(bag), "--split", "test", *more], "has no splits"),
        (["estimate", str(bag), "--color-topic", "/cam", *more], "no messages of /cam"),
        (["estimate", str(dataset), "--color-topic", "/cam", *more], "is no bag"),
    ):
        assert cli.main(arguments) == cli.FAILED
        message = capsys.readouterr().err
        assert sentence in message and len(message.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
