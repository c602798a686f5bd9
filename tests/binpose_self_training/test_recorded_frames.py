from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome, write_outcomes
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_writer import write_bag
from binpose_recording.frame_bag import frame_messages
from binpose_self_training.config import FramesConfig
from binpose_self_training.recorded_frames import NamedFrames, collect_frames, spread_order

from ..binpose_recording.test_bag_outcomes import at, outcome


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
    return collect_frames([NamedFrames(Path("bag"), sources)], FramesConfig(**options), folder)


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
        NamedFrames(Path("large"), film(scenes[0], 300, [], "a")),
        NamedFrames(Path("small"), film(scenes[1], 20, [], "b")),
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


def views_of_bins(scene, counts):
    """As many frames of each bin; the camera moves 0.1 m from each to the next."""
    sources = film(scene, sum(counts), [])
    names = [f"bin{number}" for number, count in enumerate(counts) for _ in range(count)]
    for number, (source, name) in enumerate(zip(sources, names, strict=True)):
        source.bin_name = name
        source.camera_pose = lambda number=number: np.array(
            [[1, 0, 0, 0.1 * number], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]
        )
    return sources


def test_other_frames_of_a_bin_are_views_of_it(scenes, tmp_path):
    frames, _ = collected(views_of_bins(scenes[0], [4, 2]), tmp_path, frames=6, held_out=0.0)
    names = [source.name for source in frames.sources]
    assert [frames.of_bin(n) for n in range(6)] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [5], [4]]
    (view,) = frames.views(names[5])
    np.testing.assert_allclose(view.T_other_cam[:3, 3], [0.1, 0, 0], atol=1e-12)
    assert len(frames.views(names[0])) == 3


@pytest.mark.parametrize(("most", "expected"), [(4, [[0, 1, 2, 3], [4, 5]]), (2, [[0, 2], [1, 3], [4, 5]]), (1, 6)])
def test_views_of_a_bin_are_grouped(scenes, tmp_path, most, expected):
    frames, _ = collected(views_of_bins(scenes[0], [4, 2]), tmp_path, frames=6, held_out=0.0)
    groups = [[source.image_id for source in group] for group in frames.groups(most)]
    assert groups == ([[n] for n in range(6)] if expected == 6 else expected)


def test_no_bin_is_both_learnt_from_and_held_out(scenes, tmp_path):
    frames, held_out = collected(views_of_bins(scenes[0], [2] * 5), tmp_path, frames=4, held_out=0.3)
    assert [len(group) for group in frames.groups(4)] == [2, 2]  # whole bins, although there are more frames
    assert len(held_out) == 4
    assert not {info.bin for info in frames.infos} & {info.bin for info in held_out.infos}


def test_a_film_is_not_taken_for_views_of_one_bin(scenes, tmp_path):
    frames, _ = collected(views_of_bins(scenes[0], [17, 2]), tmp_path, frames=19, held_out=0.0)
    assert [len(group) for group in frames.groups(4)] == [1] * 17 + [2]


def test_frames_without_camera_poses_have_no_other_views(scenes, tmp_path):
    frames, _ = collected(film(scenes[0], 4, []), tmp_path, frames=4, held_out=0.0)
    assert [len(group) for group in frames.groups(4)] == [1] * 4
    assert all(not frames.of_bin(n) and not frames.views(frames.sources[n].name) for n in range(4))


def test_picks_beside_a_recording_belong_to_its_frames(scenes, tmp_path):
    folder = tmp_path / "bag"
    folder.mkdir()
    write_outcomes(folder / "outcomes.json", {"f00001": [PickOutcome("step", np.eye(4), True)]})
    recording = NamedFrames(folder, film(scenes[0], 4, []))
    frames, _ = collect_frames([recording], FramesConfig(frames=4, held_out=0.0), tmp_path / "run")
    assert [len(frames.picks(n)) for n in range(4)] == [0, 1, 0, 0]
    assert [len(picks) for picks in frames.outcomes_by_source.values()] == [0, 1, 0, 0]
    (folder / "outcomes.json").write_text("[]")
    with pytest.raises(BinposeError, match=r"outcomes\.json"):
        collect_frames([recording], FramesConfig(), tmp_path / "other")


def test_picks_in_a_bag_are_those_of_a_file_beside_it(scenes, tmp_path):
    """Whether a driver published the outcomes or wrote a file, the frames have the same picks."""
    sources = film(scenes[0], 3, [])
    frames = [
        replace(source.frame, stamp_ns=at(20.0 * number), frame_id="optical") for number, source in enumerate(sources)
    ]
    T = from_rotation_translation(exp_so3(np.array([0.1, 0.2, 0.3])), np.array([0.0, 0.1, 0.6]))
    messages = [message for frame in frames for message in frame_messages(frame)]
    messages += [outcome(at(0.3), T, succeeded=False), outcome(at(20.0), T), outcome(at(39.5), T)]
    folder = tmp_path / "bag"
    write_bag(folder, iter(sorted(messages, key=lambda entry: entry[0].stamp_ns)))
    recording = NamedFrames(folder, bag_frames(folder).frames)
    config = FramesConfig(frames=3, held_out=0.0)
    from_messages, _ = collect_frames([recording], config, tmp_path / "first")
    names = [frame.name for frame in recording.frames]
    write_outcomes(
        folder / "outcomes.json",
        {name: [PickOutcome("cog", T, number > 0)] for number, name in enumerate(names)},
    )
    from_file, _ = collect_frames([recording], config, tmp_path / "second")
    for number in range(3):
        (one,), (other,) = from_messages.picks(number), from_file.picks(number)
        assert (one.object_id, one.succeeded) == (other.object_id, other.succeeded)
        np.testing.assert_allclose(one.T_cam_obj, other.T_cam_obj, atol=1e-9)
    assert list(from_messages.outcomes_by_source) == list(from_file.outcomes_by_source)
