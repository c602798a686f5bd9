"""The node's side of the observer: it chooses live frames, and remembers what the observer reports."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import SHORT
from binpose_recording.config import Role
from binpose_recording.messages import Topic
from binpose_ros.pick_messages import PICK_OUTCOME, read_pick
from binpose_ros.problems import Problem
from binpose_ros.serialized import serialized_header
from binpose_self_training.live_frames import Latencies, LiveFrame, LiveFrames, SerializedMessage
from binpose_self_training.observer_process import ObserverProcess
from binpose_self_training.trainer import TrainingSettings

CAMERA = (Role.COLOR, Role.DEPTH, Role.INFO)


class LiveWatch:
    """Offers frames to an observer while it is started.

    Args:
        log: takes a sentence about what has happened.
    """

    def __init__(self, log: Callable[[str], object]) -> None:
        self._log, self._lock = log, threading.Lock()
        self._process: ObserverProcess | None = None
        self._frames, self._latencies, self._results = LiveFrames(1), Latencies(), ""
        self._failed: list[bool] = []  # of the picks since the last frame that was looked at
        self._rolled_back: dict[str, Any] = {}
        self._observed: dict[str, Any] = {}
        self._compared: dict[str, Any] = {}
        self._note = ""

    def start(self, store: Path, every: int, training: TrainingSettings, results: str) -> None:
        """Look at every n-th frame from now on, with the models of a store.

        Args:
            store: its folder.
            every: number of frames of which one is looked at.
            training: threads, and the file with the settings of the gate.
            results: topic of the poses that the last stage publishes, for the time that they take.
        """
        self.close()
        self._frames, self._latencies, self._results = LiveFrames(every), Latencies(), results
        self._failed = []
        self._process = ObserverProcess(store, training.config, training.threads, self._take)

    def close(self) -> None:
        """End the observer."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def message(self, topic: Topic, data: bytes, now_ns: int) -> None:
        """Take a message of the camera, poses that were computed from a frame, or the outcome of a pick."""
        process = self._process
        if process is None:
            return
        if topic.name == self._results:
            self._arrived(data, now_ns)
        elif topic.type == PICK_OUTCOME:
            self._picked(data)
        elif topic.role in CAMERA:
            frame = self._frames.add(topic.role, SerializedMessage(topic.type, bytes(data)))
            if frame is not None:
                self._offer(process, frame)

    def problems(self) -> list[Problem]:
        """A model that was rolled back, until another one is in use."""
        with self._lock:
            back = self._rolled_back
        return [Problem(Reason.ROLLED_BACK, back["message"], back["version"])] if back else []

    def values(self) -> dict[str, str]:
        """What the diagnostics show."""
        with self._lock:
            seen, compared, note = self._observed, self._compared, self._note
        shadow = ""
        if compared:
            shadow = (
                f"{compared['candidate'][:SHORT]}: {compared['frames']} frames, advantage {compared['lower']:.3f} to "
                f"{compared['upper']:.3f} {compared['decision']}"
            )
        return {
            "live_frames": str(seen.get("frames", 0)), "live_watching": str(seen.get("watching", False)),
            "live_shadow": shadow.strip(), "live_note": note,
        }  # fmt: skip

    def _arrived(self, data: bytes, now_ns: int) -> None:
        try:
            self._latencies.add(serialized_header(data).stamp_ns, now_ns)
        except BinposeError:  # the nodes report it
            return

    def _picked(self, data: bytes) -> None:
        try:
            _, outcome = read_pick(data)
        except BinposeError:  # a self-training of the recording reports it
            return
        with self._lock:
            self._failed.append(not outcome.succeeded)

    def _offer(self, process: ObserverProcess, frame: LiveFrame) -> None:
        """Hand a frame over with the picks since the last one that was taken."""
        with self._lock:
            picks = tuple(self._failed)
            if process.offer(replace(frame, failed=picks), partial(self._latencies.of, frame.stamp_ns)):
                del self._failed[: len(picks)]

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        with self._lock:
            if kind == "rolled_back":
                self._rolled_back = event
            elif kind == "watching":
                self._rolled_back = {}
            elif kind == "observed":
                self._observed = event
            elif kind == "compared":
                self._compared = event
            elif kind in ("note", "failed"):
                self._note = event["message"]
        if kind in ("rolled_back", "note", "failed") or event.get("decision"):
            self._log(event.get("message") or f"Candidate {event['candidate'][:SHORT]} is {event['decision']}.")
