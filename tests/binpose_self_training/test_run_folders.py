"""Old runs are deleted, but none that works, was interrupted, or is something else."""

import os
from pathlib import Path

from binpose_self_training.run_folders import mark_begun, mark_finished, remove_old_runs


def finished_runs(folder: Path, count: int) -> list[Path]:
    runs = [folder / f"{number:012d}" for number in range(count)]
    for age, run in enumerate(runs):
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        mark_finished(run)
        os.utime(run / "finished.json", (1000 + age, 1000 + age))
    return runs


def test_the_newest_finished_runs_stay(tmp_path: Path) -> None:
    runs = finished_runs(tmp_path, 6)
    assert remove_old_runs(tmp_path, 2) == runs[:4]
    assert sorted(tmp_path.iterdir()) == runs[4:]
    assert remove_old_runs(tmp_path, 2) == []


def test_a_run_in_use_an_interrupted_one_and_other_folders_stay(tmp_path: Path) -> None:
    runs = finished_runs(tmp_path, 4)
    mark_begun(runs[0])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "finished.txt").write_text("of somebody")
    assert remove_old_runs(tmp_path, 1) == runs[1:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [runs[0].name, runs[3].name, "notes"]


def test_all_runs_stay_where_none_is_to_be_deleted(tmp_path: Path) -> None:
    runs = finished_runs(tmp_path, 3)
    assert remove_old_runs(tmp_path, 0) == remove_old_runs(tmp_path / "missing", 1) == []
    assert sorted(tmp_path.iterdir()) == runs


def test_a_deletion_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    runs = finished_runs(tmp_path, 1)
    (tmp_path / ".old.deleted" / "round_1").mkdir(parents=True)
    assert remove_old_runs(tmp_path, 1) == []
    assert list(tmp_path.iterdir()) == runs
