"""Cost and robustness of recording: write rate, CPU at the camera's rate, keyframes, loss after SIGKILL.

python benchmarks/recording.py [--kills 20] [--seconds 20]
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.bag_reader import Bag
from binpose_recording.bag_writer import BagWriter
from binpose_recording.config import BagConfig, Compression, RecorderConfig, Role
from binpose_recording.frame_bag import camera_topics, frame_messages
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.recorder import Recorder
from binpose_recording.recovery import recover_recordings
from binpose_training.chosen_parts import library_objects
from common import heading, spread, table
from scenes import unseen_views

RATE_HZ = 30.0
COUNTER = Topic("/counter", "std_msgs/msg/String", Role.EVENT)
NOISE_M, NOISE_LEVELS, DROPOUT = 0.001, 4.0, 0.02


@dataclass(frozen=True)
class Arguments:
    """kills: number of killed recorders; seconds: of each measurement at the camera's rate; child: for this script."""

    kills: int = 20
    seconds: float = 20.0
    child: str = ""


def noisy(frame: RgbdFrame, rng: np.random.Generator, start_ns: int) -> Iterator[list[RawMessage]]:
    """The messages of a static scene at 30 Hz, with 16 different noise samples in turn."""
    assert frame.depth_m is not None
    frames = []
    for _ in range(16):
        depth = frame.depth_m + rng.normal(0, NOISE_M, frame.depth_m.shape).astype(np.float32)
        depth[(frame.depth_m == 0) | (rng.random(depth.shape) < DROPOUT)] = 0
        color = np.clip(frame.color + rng.normal(0, NOISE_LEVELS, frame.color.shape), 0, 255).astype(np.uint8)
        frames.append(replace(frame, color=color, depth_m=depth))
    index = 0
    while True:
        stamp_ns = start_ns + int(index * 1e9 / RATE_HZ)
        yield [message for message, _ in frame_messages(replace(frames[index % 16], stamp_ns=stamp_ns))]
        index += 1


def write_rate(messages: list[RawMessage], compression: Compression) -> tuple[float, float]:
    """Megabytes of messages per second, synced every half second, and compressed size as a fraction of the original."""
    topics = {topic.name: topic for topic in camera_topics()}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began = synced = time.perf_counter()
        size = 0
        with BagWriter(Path(folder) / "bag", BagConfig(compression=compression)) as bag:
            while time.perf_counter() - began < 5:
                for message in messages:
                    bag.write(message, topics[message.topic])
                    size += len(message.data)
                if time.perf_counter() - synced > 0.5:
                    bag.sync()
                    synced = time.perf_counter()
        seconds = time.perf_counter() - began
        stored = sum(path.stat().st_size for path in (Path(folder) / "bag").glob("*.mcap"))
    return size / seconds / 1e6, stored / size


def at_camera_rate(frames: Iterator[list[RawMessage]], seconds: float, keyframes_only: bool) -> tuple[float, str]:
    """CPU seconds per second of recording at 30 Hz, and the number of recorded frames."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        config = RecorderConfig(Path(folder), keyframes_only=keyframes_only, min_free_gb=0.0)
        recorder = Recorder(camera_topics(), config)
        prepared = [next(frames) for _ in range(int(seconds * RATE_HZ))]
        recorder.start()
        began, cpu = time.perf_counter(), time.process_time()
        for index, messages in enumerate(prepared):
            for message in messages:
                recorder.add(*message)
            time.sleep(max(began + (index + 1) / RATE_HZ - time.perf_counter(), 0))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
        status = recorder.stop()
    kept = status.frames.keyframes if keyframes_only else status.messages // 3
    return cpu / wall, f"{kept} of {len(prepared)} frames kept, {status.dropped} messages dropped"


def record_until_killed(folder: str) -> None:
    """Record numbered messages of 20 kB, 200 per second; prints each number before recording the message."""
    recorder = Recorder([COUNTER], RecorderConfig(Path(folder), min_free_gb=0.0, bag=BagConfig(segment_mb=4)))
    recorder.start()
    rng = np.random.default_rng(0)
    for number in range(10**9):
        os.write(1, f"{number} {time.monotonic()}\n".encode())
        recorder.add(COUNTER.name, time.time_ns(), number.to_bytes(8, "little") + rng.bytes(20_000))
        time.sleep(0.005)


def lost_seconds(kills: int) -> np.ndarray:
    """Age (kills,) in s of the oldest lost message at the kill; all other messages must be unchanged."""
    rng, ages = np.random.default_rng(1), []
    for _ in range(kills):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            arguments = [sys.executable, __file__, "--child", folder]
            child = subprocess.Popen(arguments, stdout=subprocess.PIPE)
            assert child.stdout is not None
            lines = [child.stdout.readline()]
            time.sleep(rng.uniform(1.0, 4.0))
            killed = time.monotonic()
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines()
            child.wait()
            times = [float(line.split()[1]) for line in lines if len(line.split()) == 2]
            recover_recordings(Path(folder))
            (bag,) = Path(folder).iterdir()
            kept = [data for _, data in Bag(bag).messages([COUNTER.name])]
        content = np.random.default_rng(0)
        assert all(data == n.to_bytes(8, "little") + content.bytes(20_000) for n, data in enumerate(kept))
        ages.append(killed - times[len(kept)] if len(kept) < len(times) else 0.0)
    return np.array(ages)


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    if arguments.child:
        record_until_killed(arguments.child)
    heading("Recording: 640x480, colour and 32FC1 depth of a simulated bin, 2.2 MB per frame")
    objects = {model.id: model for model in library_objects()}
    (view,) = unseen_views(objects, 1, workers=1)
    frames = noisy(view.frame, np.random.default_rng(0), 1_700_000_000_000_000_000)
    messages = [message for _ in range(16) for message in next(frames)]
    rows = []
    for compression in ("none", "lz4", "zstd"):
        rate, size = write_rate(messages, compression)  # type: ignore[arg-type]
        rows.append([compression, f"{rate:.0f}", f"{size:.2f}"])
    table(["compression", "MB/s written and synced", "size on the disk"], rows)
    print()
    cases = (("keyframes", True), ("everything", False))
    rows = [[name, *_text(*at_camera_rate(frames, arguments.seconds, only))] for name, only in cases]
    table(["static scene at 30 Hz", "CPU use of one core", "kept"], rows)
    ages = lost_seconds(arguments.kills)
    print(f"\nAfter SIGKILL the oldest lost message was {spread(ages, 1e-3, 0)} ms old, ", end="")
    print(f"at most {ages.max() * 1e3:.0f} ms; all others were unchanged; {arguments.kills} kills.")


def _text(cpu: float, kept: str) -> list[str]:
    return [f"{100 * cpu:.0f} %", kept]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
