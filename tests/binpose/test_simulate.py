"""`binpose simulate` writes a data set that can be read again, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from binpose import cli
from binpose_core.bop import BopDataset


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    trimesh.creation.box((40, 30, 20)).export(tmp_path / "box.stl")
    cli.main(
        ["add", str(tmp_path / "box.stl"), "--id", "box", "--unit", "mm", "--catalogue", str(tmp_path / "objects")]
    )
    return tmp_path / "objects"


def simulate(catalogue: Path, out: Path, frames: int) -> list:
    options = ["--objects", "box", "--catalogue", str(catalogue), "--width", "160", "--height", "120", "--workers", "1"]
    assert cli.main(["simulate", *options, "--out", str(out), "--frames", str(frames), "--seed", "2"]) == 0
    return list(BopDataset(out).frames("sim"))


def test_frames_are_whole_reproducible_and_continued(catalogue: Path, tmp_path: Path) -> None:
    first = simulate(catalogue, tmp_path / "a", 1)
    assert len(first) == 1
    frame = first[0].read()
    assert frame.color.shape[:2] == (120, 160) and frame.depth_m is not None
    assert first[0].ground_truth() and BopDataset(tmp_path / "a").models[1].object_id == "box"
    continued, anew = simulate(catalogue, tmp_path / "a", 2), simulate(catalogue, tmp_path / "b", 2)
    assert len(continued) == len(anew) == 2
    for one, other in zip(continued, anew, strict=True):
        np.testing.assert_array_equal(one.read().color, other.read().color)
