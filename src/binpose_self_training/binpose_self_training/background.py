"""Processes of low priority beside the robot's work, which write one JSON object per line."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from binpose_core.base.processes import GRACE_S
from binpose_core.base.threads import process_environment

LOWEST_PRIORITY = 19

Process = subprocess.Popen[bytes]


def start_in_background(
    module: str, arguments: Sequence[str], threads: int, log: int | IO[bytes], stdin: int = subprocess.DEVNULL
) -> Process:
    """Start a module of Python as a process with the lowest priority.

    Args:
        module: such as binpose.cli.
        arguments: of the process; the id of this process follows them as `--parent`.
        threads: of each numerical library.
        log: where its standard error goes.
        stdin: subprocess.PIPE to send it something.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--parent", str(os.getpid())],
        env=process_environment(threads), stdin=stdin, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
    )  # fmt: skip
    with contextlib.suppress(OSError):  # it has ended already, or this system does not know priorities
        os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
    return process


def events_of(process: Process) -> "queue.Queue[dict[str, Any] | None]":
    """The objects that a process writes, as they arrive; None after the last one."""
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_move, args=(process.stdout, events), daemon=True, name="events").start()
    return events


def end_process(process: Process, grace_s: float = GRACE_S) -> None:
    """End a process and its group: by SIGTERM, and by SIGKILL what is still there after a while.

    Not by SIGINT, which a process that was started in the background may ignore.
    """
    if process.poll() is not None:
        return
    process.terminate()
    end = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _move(pipe: IO[bytes], events: "queue.Queue[dict[str, Any] | None]") -> None:
    try:
        for line in pipe:
            try:
                event = json.loads(line)
            except ValueError:  # a library's own print
                continue
            if isinstance(event, dict):
                events.put(event)
    finally:
        events.put(None)
