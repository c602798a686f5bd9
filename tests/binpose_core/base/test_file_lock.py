"""One process holds a lock at a time, and a killed one holds none."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from binpose_core.base.errors import BinposeError, CannotWrite
from binpose_core.base.file_lock import Locked, locked

SOURCE = Path(__file__).resolve().parents[3] / "src" / "binpose_core"
HOLD = """
import sys, time
from binpose_core.base.file_lock import locked
with locked(sys.argv[1], "long work"):
    print("held", flush=True)
    time.sleep(600)
"""
COUNT = """
import sys
from pathlib import Path
from binpose_core.base.file_lock import locked
counter = Path(sys.argv[2])
for _ in range(200):
    with locked(sys.argv[1], "counting", wait_s=60.0):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def started(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=subprocess.PIPE, text=True)


def test_a_lock_that_is_held_is_refused_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "store" / "lock"
    process = started(HOLD, path)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with (
            pytest.raises(Locked, match=f"is locked by process {process.pid} on .* \\(long work, since") as caught,
            locked(path, "x"),
        ):
            pass
        assert caught.value.owner is not None and caught.value.owner.pid == process.pid
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_process_is_free_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = started(HOLD, path)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locked(path, "next") as before:
        assert before is not None and (before.pid, before.purpose) == (process.pid, "long work")
    with locked(path, "later") as before:
        assert before is None


def test_changes_of_several_processes_do_not_overlap(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [started(COUNT, tmp_path / "lock", counter) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert counter.read_text() == "600"


def test_threads_exclude_each_other_too(tmp_path: Path) -> None:
    refused = []

    def attempt() -> None:
        try:
            with locked(tmp_path / "lock", "other thread"):
                pass
        except Locked as error:
            refused.append(error)

    with locked(tmp_path / "lock", "this thread"):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert len(refused) == 1 and refused[0].owner is not None and refused[0].owner.pid == os.getpid()


def test_an_error_in_the_block_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / "lock", "x"):
        raise ValueError("inside")
    with locked(tmp_path / "lock", "y") as before:
        assert before is None


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"pid": 1}), "\0" * 5000])
def test_a_damaged_lock_file_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with locked(tmp_path / "lock", "x") as before:
        assert before is None


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="place for a lock file") as caught, locked(tmp_path / "file" / "lock", "x"):
        pass
    assert isinstance(caught.value, BinposeError)
