"""Processes that end in time: SIGTERM as an interruption, and a child that does not outlive its parent."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHECK_S = 0.5
GRACE_S = 10.0
"""Time in which an interrupted process may end by itself."""


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """In the block, SIGTERM raises KeyboardInterrupt, as Ctrl-C does.

    A process that a script starts in the background may ignore SIGINT, but not SIGTERM. Handlers belong to the main
    thread: in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Postpones SIGINT and SIGTERM to the end of the block, for a change that is made as a whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda got, frame: arrived.append(got)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in arrived[:1]:
        signal.raise_signal(late)


def end_with_parent(parent: int) -> None:
    """Interrupt this process when `parent` is no longer its parent, and end it if it is still there after a while.

    Args:
        parent: id of the process that started this one.
    """
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True, name="parent").start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGTERM)
