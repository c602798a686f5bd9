"""`binpose pick`: tries, images and outcomes of a simulated cell; the parts' true poses stand for a model."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from binpose import cli
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.pick_outcomes import read_outcomes
from binpose_pipeline.bundle import PipelineBundle

SMALL = ["--true-poses", "--parts", "step", "--picture.width", "64", "--picture.height", "64", "--picture.most", "3"]


@pytest.fixture(autouse=True)
def known_model(bundle: PipelineBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binpose_pipeline.bundle.load_bundle", lambda *_, **__: bundle)


def picked(out: Path, *options: str) -> int:
    return cli.main(["pick", *SMALL, "--out", str(out), *options])


def test_each_try_has_its_image_and_its_outcome(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert picked(tmp_path, "--number", "2", "--seed", "4") == 0
    frames = {frame.name: frame for frame in BopDataset(tmp_path / "dataset").frames("sim")}
    outcomes = read_outcomes(tmp_path / "dataset" / "outcomes.json")
    assert outcomes and set(outcomes) <= set(frames)
    for name, picks in outcomes.items():
        true = [truth.T_cam_obj for truth in frames[name].ground_truth()]
        assert min(np.abs(pose - picks[0].T_cam_obj).max() for pose in true) < 1e-4
    succeeded = sum(picks[0].succeeded for picks in outcomes.values())
    assert f"{succeeded} of {len(outcomes)} tries succeeded" in " ".join(capsys.readouterr().out.split())
    done, animation = cv2.imreadanimation(str(tmp_path / "picks.webp"))
    assert done and 1 <= len(animation.frames) <= 3, "equal pictures are stored once"


def test_a_run_replaces_an_earlier_one(tmp_path: Path) -> None:
    for seed in ("4", "5"):
        assert picked(tmp_path, "--number", "1", "--seed", seed, "--no-animation") == 0
    assert {frame.scene_id for frame in BopDataset(tmp_path / "dataset").frames("sim")} == {5}


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--parts", "cog"], "No part 'cog'"), (["--number", "0"], "--number 0"), (["--sensor", "eyes"], "'eyes'")],
)
def test_what_cannot_be_simulated_is_refused(
    tmp_path: Path, options: Sequence[str], reason: str, capsys: pytest.CaptureFixture
) -> None:
    assert picked(tmp_path, *options) == cli.FAILED
    assert reason in " ".join(capsys.readouterr().err.split())
