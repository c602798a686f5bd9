"""The folders of self-trainings on a robot: finished ones are deleted, so that the disk does not fill up."""

import shutil
from datetime import datetime, timezone
from pathlib import Path

from binpose_core.base.files import write_json

FINISHED = "finished.json"
"""In a run's folder: written when nothing of the run is left to do, deleted when the run is repeated."""


def mark_finished(run: Path) -> None:
    """State that a run is complete.

    Raises:
        BinposeError: if the folder cannot be written to.
    """
    write_json(run / FINISHED, {"finished": datetime.now(timezone.utc).isoformat(timespec="seconds")})


def mark_begun(run: Path) -> None:
    """State that a run is not complete: it is new, or it is repeated."""
    (run / FINISHED).unlink(missing_ok=True)


def remove_old_runs(runs: Path, keep: int) -> list[Path]:
    """Delete the finished runs in a folder, but for the newest ones; returns the deleted folders.

    A run that works or that was interrupted has no mark of its end and stays, and so do folders of other programs.

    Args:
        runs: folder of the runs' folders.
        keep: finished runs that stay; 0 = all of them.
    """
    finished = sorted(runs.glob(f"*/{FINISHED}"), key=lambda mark: (mark.stat().st_mtime_ns, mark))
    old = [mark.parent for mark in finished[:-keep]] if keep else []
    for run in old:
        # Without the mark first, a deletion that is cut off would leave a run that looks interrupted.
        grave = run.with_name(f".{run.name}.deleted")
        shutil.rmtree(grave, ignore_errors=True)
        run.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)
    for grave in runs.glob(".*.deleted"):
        shutil.rmtree(grave, ignore_errors=True)
    return old
