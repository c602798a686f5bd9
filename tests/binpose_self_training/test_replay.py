"""What is replayed stays bounded and balanced, and survives a killed process."""

from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_self_training.replay import balanced_choice, keep_for_replay, scene_of
from binpose_simulation.view_store import ViewStore


def view(scene: Any, *names: str) -> LabelledView:
    frame = scene.frame
    ids = np.full(frame.depth_m.shape, UNKNOWN, np.int16)
    return LabelledView(frame, names, np.tile(np.eye(4), (len(names), 1, 1)), ids, np.ones(len(names)))


def kept(model: Path) -> list[tuple[str, ...]]:
    return [known.object_ids for known in ViewStore(model / "replay")]


def test_views_with_rare_parts_are_kept_and_those_without_labels_are_not(scenes: list[Any]) -> None:
    views = [view(scenes[0], "gear") for _ in range(10)] + [view(scenes[0], "bolt"), view(scenes[0])]
    chosen = balanced_choice(views, 3, seed=0)
    assert len(chosen) == 3 and 10 in chosen and 11 not in chosen
    assert balanced_choice(views, 3, seed=0) == chosen
    assert balanced_choice(views, 100, seed=0) == list(range(11))


def test_the_folder_keeps_old_and_new_views_up_to_its_bound(tmp_path: Path, scenes: list[Any]) -> None:
    assert keep_for_replay(tmp_path, [view(scenes[0], "gear")] * 3, most=4, seed=0) == 3
    assert keep_for_replay(tmp_path, [view(scenes[0], "bolt")] * 3, most=4, seed=0) == 4
    assert {name for names in kept(tmp_path) for name in names} == {"gear", "bolt"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["replay"]


def test_what_a_killed_process_left_is_neither_lost_nor_mixed_in(tmp_path: Path, scenes: list[Any]) -> None:
    keep_for_replay(tmp_path, [view(scenes[0], "gear")], most=4, seed=0)
    (tmp_path / "replay").rename(tmp_path / "replay.old")  # killed between the two renames
    ViewStore(tmp_path / "replay.new").append(view(scenes[0], "half written"))
    keep_for_replay(tmp_path, [view(scenes[0], "bolt")], most=4, seed=0)
    assert kept(tmp_path) == [("gear",), ("bolt",)]


def test_the_bins_are_those_of_the_model_s_training(parts: dict[str, Any]) -> None:
    values = {"content": {"bin_size_m": [0.3, 0.2, 0.1]}}
    header = {"training": {"simulation": {"scene": values}}}
    assert scene_of(header, parts, 1e-3).content.bin_size_m == (0.3, 0.2, 0.1)
    assert scene_of({}, parts, 1e-3).content.bin_size_m is None
