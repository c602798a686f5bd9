"""Folders of bags are read as what they hold; one that is damaged does not keep the others away."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.frame_bag import write_frames
from binpose_self_training.config import FramesConfig
from binpose_self_training.recorded_frames import collect_frames
from binpose_self_training.recordings import open_recordings


@pytest.fixture
def frames(scenes: Sequence[Any]) -> list[RgbdFrame]:
    return [scene.frame for scene in scenes]


def test_a_folder_stands_for_its_bags(tmp_path: Path, frames: list[RgbdFrame], dataset: Path) -> None:
    write_frames(tmp_path / "recording_b", frames[:1])
    write_frames(tmp_path / "recording_a", frames)
    (tmp_path / "notes").mkdir()
    found, notes = open_recordings([tmp_path, dataset])
    assert [recording.path for recording in found] == [tmp_path / "recording_a", tmp_path / "recording_b", dataset]
    assert [len(recording.frames) for recording in found[:2]] == [len(frames), 1] and not notes


def test_a_damaged_bag_is_left_out_of_a_folder_and_refused_alone(tmp_path: Path, frames: list[RgbdFrame]) -> None:
    write_frames(tmp_path / "recording_a", frames)
    damaged = tmp_path / "recording_b"
    damaged.mkdir()
    (damaged / "recording_b_0.mcap").write_bytes(b"nothing of a bag")
    found, notes = open_recordings([tmp_path])
    assert [recording.path.name for recording in found] == ["recording_a"]
    assert len(notes) == 1 and "recording_b was left out: " in notes[0]
    with pytest.raises(BinposeError, match="recording_b"):
        open_recordings([damaged])


def test_a_bag_that_was_cut_off_gives_what_it_holds(tmp_path: Path, frames: list[RgbdFrame]) -> None:
    write_frames(tmp_path / "recording_a", frames * 3)
    (file,) = (tmp_path / "recording_a").glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (recording,), _ = open_recordings([tmp_path])
    assert 0 < len(recording.frames) < 3 * len(frames)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BinposeError, match="No recording was named"):
        open_recordings([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BinposeError, match="empty"):
        open_recordings([tmp_path / "empty"])
    bag = tmp_path / "recordings" / "recording_a"
    bag.mkdir(parents=True)
    (bag / "recording_a_0.mcap.active").write_bytes(b"")
    with pytest.raises(BinposeError, match=r"No bag in .*recordings can be read .*unfinished"):
        open_recordings([bag.parent])


def test_bags_without_depth_are_refused_in_one_sentence(tmp_path: Path, frames: list[RgbdFrame]) -> None:
    write_frames(tmp_path / "recording_a", [replace(frame, depth_m=None) for frame in frames])
    found, _ = open_recordings([tmp_path])
    with pytest.raises(BinposeError, match=r"it has no depth.*expected colour and aligned depth; record both"):
        collect_frames(found, FramesConfig(), tmp_path / "run")


def test_a_bag_without_a_message_is_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "recording_a", [])
    with pytest.raises(BinposeError, match=r"recording_a.*; expected"):
        collect_frames(open_recordings([tmp_path / "recording_a"])[0], FramesConfig(), tmp_path / "run")


def test_memory_does_not_grow_with_the_length_of_a_bag(tmp_path: Path, frames: list[RgbdFrame]) -> None:
    peaks = []
    for count in (10, 100):
        folder = tmp_path / f"recording_{count}"
        write_frames(folder, (with_number(frames[0], number) for number in range(count)))
        tracemalloc.start()
        learnt, held_out = collect_frames(
            open_recordings([folder])[0], FramesConfig(frames=4, most_held_out=2), tmp_path / f"run_{count}"
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (len(learnt), len(held_out)) == (4, 2)
    added = 90 * (frames[0].color.nbytes + frames[0].depth_m.nbytes)  # type: ignore[union-attr]
    assert peaks[1] - peaks[0] < 0.05 * added


def with_number(frame: RgbdFrame, number: int) -> RgbdFrame:
    color = frame.color.copy()
    color[0, 0] = np.uint8(number)
    return replace(frame, color=color)
