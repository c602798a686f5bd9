"""Signals that arrive at a bad time, and children whose parent was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binpose_core.base.processes import interrupted_by_sigterm, uninterrupted

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
print(child.pid, flush=True)
child.wait()
"""
CHILD = """
import sys, time
from binpose_core.base.processes import end_with_parent, interrupted_by_sigterm
with interrupted_by_sigterm():
    end_with_parent(int(sys.argv[1]))
    time.sleep(60)
"""


def test_sigterm_interrupts_the_block_and_ends_the_process_after_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_change_is_made_as_a_whole_and_the_signal_comes_after_it() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            done.append("the whole change")
        done.append("more")
    assert done == ["the whole change"]


def test_nothing_is_raised_without_a_signal() -> None:
    with interrupted_by_sigterm(), uninterrupted():
        pass


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 30
    while is_alive(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_alive(child)
