from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_self_training.config import FramesConfig
from binpose_self_training.recorded_frames import Recording, collect_frames, spread_order


@dataclass
class Source:
    name: str
    frame: RgbdFrame | None
    reads: list[str]
    scene_id: int = 0
    image_id: int = 0

    def read(self) -> RgbdFrame:
        self.reads.append(self.name)
        if self.frame is None:
            raise BinposeError(f"{self.name} is damaged.")
        return self.frame


def film(scene: Any, count: int, reads: list[str], name: str = "f") -> list[Source]:
    """Frames that differ in one pixel."""
    frames = []
    for number in range(count):
        color = scene.frame.color.copy()
        color[0, 0] = number % 256, number // 256, 7
        frames.append(Source(f"{name}{number:05d}", replace(scene.frame, color=color), reads))
    return frames


def collected(sources: Sequence[Source], folder: Path, **options: Any) -> tuple[Any, Any]:
    return collect_frames([Recording(Path("bag"), sources)], FramesConfig(**options), folder)


def test_frames_are_spread_over_a_recording_and_its_end_is_held_out(scenes, tmp_path):
    frames, held_out = collected(film(scenes[0], 100, []), tmp_path, frames=10, held_out=0.2, most_held_out=4)
    numbers = [int(info.name[1:]) for info in frames.infos]
    assert len(numbers) == 10 and numbers == sorted(numbers) and max(np.diff(numbers)) <= 16 and max(numbers) < 80
    assert len(held_out) == 4 and min(int(info.name[1:]) for info in held_out.infos) >= 80


def test_only_as_many_frames_are_read_as_are_used(scenes, tmp_path):
    reads: list[str] = []
    collected(film(scenes[0], 5000, reads), tmp_path, frames=10, most_held_out=3)
    assert len(reads) == 13


def test_one_frame_a_thousand_times_counts_once(scenes, tmp_path):
    sources = [Source(f"f{n:04d}", scenes[0].frame, []) for n in range(1000)]
    frames, held_out = collected(sources, tmp_path, frames=50)
    assert len(frames) == 1 and len(held_out) == 0
    assert any("repeat others" in note for note in frames.notes)


def test_damaged_frames_are_left_out_with_the_reason(scenes, tmp_path):
    sources = film(scenes[0], 10, [])
    sources[0].frame = None
    sources[4].frame = replace(scenes[0].frame, depth_m=None)
    frames, _ = collected(sources, tmp_path, frames=100, held_out=0.2)
    assert len(frames) == 6
    assert any("is damaged" in note for note in frames.notes) and any("has no depth" in note for note in frames.notes)


def test_without_any_usable_frame_there_is_one_sentence(scenes, tmp_path):
    sources = [Source("f0", replace(scenes[0].frame, depth_m=None), [])]
    with pytest.raises(BinposeError, match=r"No frame of bag can be learnt from .*has no depth.*; expected .*; record"):
        collected(sources, tmp_path)


def test_small_recordings_are_not_drowned_by_large_ones(scenes, tmp_path):
    recordings = [
        Recording(Path("large"), film(scenes[0], 300, [], "a")),
        Recording(Path("small"), film(scenes[1], 20, [], "b")),
    ]
    frames, _ = collect_frames(recordings, FramesConfig(frames=30, held_out=0.2), tmp_path)
    assert sum(info.recording == "small" for info in frames.infos) >= 14


def test_stored_frames_are_used_again_without_reading_the_recording(scenes, tmp_path):
    reads: list[str] = []
    sources = film(scenes[0], 20, reads)
    first, _ = collected(sources, tmp_path, frames=5)
    reads.clear()
    again, _ = collected(sources, tmp_path, frames=5)
    assert not reads and again.infos == list(first.infos) and again.digest == first.digest


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100])
def test_the_order_of_frames_spreads_and_has_each_once(count):
    order = list(spread_order(count))
    assert sorted(order) == list(range(count))
    for taken in (4, 8, 16):
        if taken <= count:
            gaps = np.diff([-1, *sorted(islice(spread_order(count), taken)), count])
            assert gaps.max() <= 4 * count / taken + 2
