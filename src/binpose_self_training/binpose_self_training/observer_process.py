"""The observer as a process of low priority: the node hands it frames, and takes what it reports."""

import contextlib
import math
import queue
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import to_json
from binpose_core.base.processes import end_with_parent, interrupted_by_sigterm
from binpose_self_training.background import Process, end_process, events_of, start_in_background
from binpose_self_training.live_frames import LiveFrame

GRACE_S = 2.0
LATENCY_S, STEP_S = 3.0, 0.1
"""How long the poses of the running nodes are waited for, and between two looks."""
MOST_STARTS = 5
"""Of a process that ends by itself, until it is left alone."""

Offer = tuple[LiveFrame, Callable[[], float]]


class ObserverProcess:
    """Offers frames to the process, one at a time: while it works on one, the others pass.

    Args:
        store: folder of the model store.
        config: file with the settings of a self-training, of which those of the gate count; empty for the default ones.
        threads: of each numerical library.
        on_event: called in a thread of its own with each report.
    """

    def __init__(self, store: Path, config: str, threads: int, on_event: Callable[[dict[str, Any]], object]) -> None:
        self._arguments = ["--store", str(store), *(["--config", config] if config else [])]
        self._threads, self._on_event = threads, on_event
        self._frames: queue.Queue[Offer | None] = queue.Queue()
        self._idle, self._closed = threading.Event(), threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="observer")
        self._thread.start()

    def offer(self, frame: LiveFrame, seconds: Callable[[], float] = lambda: math.nan) -> bool:
        """Hand over a frame, without waiting; whether it was taken.

        Args:
            frame: that was just published.
            seconds: the time of the running nodes for it, once they are done with it.
        """
        if not self._idle.is_set() or self._closed.is_set():
            return False
        self._idle.clear()
        self._frames.put((frame, seconds))
        return True

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        self._frames.put(None)
        self._thread.join(GRACE_S + 5.0)

    def _run(self) -> None:
        starts = 0
        while not self._closed.is_set() and starts < MOST_STARTS:
            starts += 1
            process = start_in_background(
                "binpose_self_training.observer_process", self._arguments, self._threads,
                subprocess.DEVNULL, subprocess.PIPE,
            )  # fmt: skip
            try:
                self._serve(process)
            finally:
                end_process(process, GRACE_S)
        if not self._closed.is_set():
            self._on_event({"event": "failed", "message": f"The observer of live frames ended {starts} times."})

    def _serve(self, process: Process) -> None:
        """Send frames and take the reports about each, until the process or this object ends."""
        events, pipe = events_of(process), process.stdin
        assert pipe is not None
        while True:
            self._idle.set()
            offer = self._frames.get()
            if offer is None:
                return
            try:
                self._with_seconds(*offer).write(pipe)
            except OSError:
                return
            while (event := self._next(events)) is not None and event.get("event") != "done":
                self._on_event(event)
            if event is None:
                return

    def _with_seconds(self, frame: LiveFrame, seconds: Callable[[], float]) -> LiveFrame:
        """The frame with the time of the running nodes, which is waited for a while."""
        for _ in range(round(LATENCY_S / STEP_S)):
            if math.isfinite(seconds()) or self._closed.wait(STEP_S):
                break
        return replace(frame, seconds=seconds())

    def _next(self, events: "queue.Queue[dict[str, Any] | None]") -> dict[str, Any] | None:
        while not self._closed.is_set():
            try:
                return events.get(timeout=0.2)
            except queue.Empty:
                continue
        return None


def serve(store: Path, config: Path | None, pipe: IO[bytes], out: IO[str]) -> None:
    """Look at each frame that arrives, until there are no more."""
    from binpose_core.base.config_tree import read_yaml, with_values
    from binpose_self_training.config import SelfTrainingConfig
    from binpose_self_training.observer import Observer, ObserverConfig

    settings = with_values(SelfTrainingConfig(), read_yaml(config) if config else {})
    observer = Observer(store, ObserverConfig(settings.gate))
    while (frame := LiveFrame.receive(pipe)) is not None:
        try:
            events = observer(str(frame.stamp_ns), frame.read(), frame.seconds, frame.failed)
        except BinposeError as error:
            events = [{"event": "note", "message": str(error)}]
        for event in (*events, {"event": "done"}):
            out.write(to_json(event, indent=None))
        out.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """The process."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args(arguments)
    end_with_parent(options.parent)
    with contextlib.suppress(KeyboardInterrupt), interrupted_by_sigterm():
        serve(options.store, options.config, sys.stdin.buffer, sys.stdout)


if __name__ == "__main__":
    main()
