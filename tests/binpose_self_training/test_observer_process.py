"""Frames go to the observer one at a time, without waiting, and its reports come back, whatever ends."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from binpose_core.base.errors import BinposeError
from binpose_recording.config import Role
from binpose_recording.frame_bag import frame_messages
from binpose_self_training import observer, observer_process
from binpose_self_training.live_frames import LiveFrame, SerializedMessage
from binpose_self_training.observer_process import ObserverProcess, serve

STAND_IN = """
import json, sys, time
from binpose_self_training.live_frames import LiveFrame
while (frame := LiveFrame.receive(sys.stdin.buffer)) is not None:
    if frame.stamp_ns == 13:
        sys.exit(1)
    for event in ({"event": "observed", "frames": frame.stamp_ns, "seconds": frame.seconds}, {"event": "done"}):
        print(json.dumps(event), flush=True)
"""


@pytest.fixture
def frame(scenes: Any) -> LiveFrame:
    messages = {
        topic.role: SerializedMessage(topic.type, message.data)
        for message, topic in frame_messages(replace(scenes[0].frame, stamp_ns=1))
    }
    return LiveFrame(1, messages[Role.COLOR], messages[Role.DEPTH], messages[Role.INFO], 0.5)


def events(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_each_frame_is_answered_and_an_error_ends_nothing(frame: LiveFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(name: str, image: Any, seconds: float, failed: tuple[bool, ...]) -> list[dict[str, Any]]:
        seen.append((name, failed, seconds))
        if len(seen) == 1:
            raise BinposeError("No model is in use.")
        return [{"event": "observed"}]

    monkeypatch.setattr(observer, "Observer", lambda store, config: look)
    pipe, out = io.BytesIO(), io.StringIO()
    for one in (
        frame,
        replace(frame, stamp_ns=2, failed=(True, False)),
        replace(frame, color=SerializedMessage(frame.color.type, b"cut")),
    ):
        one.write(pipe)
    pipe.seek(0)
    serve(Path("store"), None, pipe, out)
    assert seen == [("1", (), 0.5), ("2", (True, False), 0.5)]
    kinds = [event["event"] for event in events(out)]
    assert kinds == ["note", "done", "observed", "done", "note", "done"]
    assert events(out)[0]["message"] == "No model is in use."


class Reports:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def __call__(self, event: dict[str, Any]) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, number: int) -> dict[str, Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= number, 60)
            return self.events[number - 1]


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, reports: Reports) -> Iterator[ObserverProcess]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen([sys.executable, "-c", STAND_IN], stdin=pipe, stdout=pipe, start_new_session=True)
        )
        return started[-1]

    monkeypatch.setattr(observer_process, "start_in_background", start)
    made = ObserverProcess(Path("store"), "", 1, reports)
    made.started = started  # type: ignore[attr-defined]
    yield made
    made.close()


def offered(process: ObserverProcess, frame: LiveFrame, seconds: Callable[[], float] = lambda: 0.25) -> None:
    """Offer a frame until it is taken."""
    end = time.monotonic() + 60
    while not process.offer(frame, seconds):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_frame_that_comes_while_another_one_is_looked_at_passes(
    process: ObserverProcess, reports: Reports, frame: LiveFrame
) -> None:
    offered(process, replace(frame, stamp_ns=7))
    assert not process.offer(replace(frame, stamp_ns=8))
    assert reports.wait(1) == {"event": "observed", "frames": 7, "seconds": 0.25}
    offered(process, replace(frame, stamp_ns=9))
    assert reports.wait(2)["frames"] == 9


def test_a_process_that_ends_is_started_again(process: ObserverProcess, reports: Reports, frame: LiveFrame) -> None:
    offered(process, replace(frame, stamp_ns=13))
    offered(process, replace(frame, stamp_ns=14))
    assert reports.wait(1)["frames"] == 14
    started = process.started  # type: ignore[attr-defined]
    assert len(started) == 2
    process.close()
    assert not process.offer(frame) and started[-1].poll() is not None
