"""Overhead of the ROS graph: added latency, frames lost in swaps, latency under load, memory, start-up time.

    tools/ros/python benchmarks/ros_graph.py [--what latency swaps load memory] [--frames 40] [--memory-frames 10000]
    tools/ros/python benchmarks/ros_graph.py --what middleware    # which middlewares lose images
    tools/ros/python benchmarks/ros_graph.py --what packages      # the camera's path with message_filters and cv_bridge

A simulated camera publishes 640x480 RGB-D frames of a bin of 14 parts to the shipped model; all on the loopback
interface. Latency is the time from a frame's stamp, taken before publication, to the arrival of its poses in this
process. The overhead of the graph is the latency minus the times of the three stages for the same frame, which the
nodes report. The part of it before the first node starts is the publication and transport of the images. Rates are
derived from the machine's own time per frame, which is measured first. For the memory, the nodes process small images
of few parts, so that many frames take minutes.

`frames` counts, with sensor-data quality of service, the frames that the first node receives completely, and those that
result in poses. A node that needs longer than a period for a frame skips frames, which the middleware has not lost: use
a lower `--rate-hz` on a busy machine. `middleware` does the same for each installed middleware.
"""

import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore
from binpose_ros.serialized import serialized_header
from binpose_ros.stamps import NS_PER_S
from binpose_ros.vision_arrays import array_length
from common import heading, spread, table
from ros_middlewares import compared, counted
from ros_packages import camera_path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "src/binpose_pipeline/binpose_pipeline/models/demo"
STAGES = ("detection", "pose", "refinement")
COMPOSED = ("bin_picking",)
SEPARATE = ("refinement", "pose_estimator", "detection")
ARRANGEMENTS = {"composed": COMPOSED, "separate": SEPARATE}
WARM_UP = 5
REPORTED_HZ = 0.8  # nodes report their newest frame once per second: at this rate every frame
Measure = Literal["latency", "swaps", "load", "memory", "frames", "middleware", "packages"]


@dataclass(frozen=True)
class Arguments:
    """Measurements and their durations.

    frames: measured per arrangement. overload_s: duration at twice the rate.
    counted, rate_hz: number and rate of frames for `frames` and `middleware`.
    memory_frames: between the two measurements of the memory. small_px, small_parts: size and content of their images.
    """

    what: tuple[Measure, ...] = ("latency", "swaps", "load", "memory")
    frames: int = 40
    counted: int = 60
    rate_hz: float = 2.0
    swaps: int = 20
    overload_s: float = 60.0
    memory_frames: int = 10_000
    small_px: tuple[int, int] = (160, 120)
    small_parts: int = 2


class Live:
    """A graph of nodes with one camera, and the results that arrive from it."""

    def __init__(self, graph: Any, nodes: tuple[str, ...], store: Path, rate_hz: float = 0.5, **camera: Any) -> None:
        from vision_msgs.msg import Detection3DArray

        self.graph, self.nodes = graph, nodes
        self.latency_s: dict[int, float] = {}
        self.sent: list[int] = []
        self.found = 0
        for topic, arrived in (("/refinement/poses", self._arrived), ("/simulated_camera/truth", self._exposed)):
            graph.node.create_subscription(Detection3DArray, topic, arrived, 50, raw=True)
        graph.statuses()  # subscribe
        graph.start("simulated_camera", rate_hz=rate_hz, **{"hold": 1, "views": 4, **camera})
        graph.wait(lambda: self.sent, "a frame")
        start = time.perf_counter()
        for name in nodes:
            graph.start(name, model=str(store), watch_s=0.0)
        graph.wait(lambda: self.latency_s, "poses")
        self.start_s = time.perf_counter() - start

    def _arrived(self, data: bytes) -> None:
        now_ns, stamp_ns = time.time_ns(), serialized_header(data).stamp_ns
        self.latency_s[stamp_ns] = (now_ns - stamp_ns) / NS_PER_S
        self.found += array_length(data)

    def _exposed(self, data: bytes) -> None:
        self.sent.append(serialized_header(data).stamp_ns)

    def next(self, count: int) -> dict[int, float]:
        """The latencies (s) of the next `count` frames, by their stamps."""
        before = len(self.latency_s)
        self.graph.wait(lambda: len(self.latency_s) >= before + count, f"{count} frames", 24 * 3600)
        return dict(list(self.latency_s.items())[before : before + count])

    def frame_s(self) -> float:
        """The processing time of a frame in the nodes."""
        self.next(WARM_UP)
        return sum(float(self.graph.wait(lambda n=n: self.graph.status(n), "diagnostics")["frame_ms"])
                   for n in self.nodes) / 1e3  # fmt: skip

    def reported(self) -> dict[int, dict[str, float]]:
        """By stamp, for the frames reported by all nodes: the stages' times and the delay of the first node (s)."""
        found: dict[int, dict[str, float]] = {}
        names: dict[int, set[str]] = {}
        for status in self.graph.statuses():
            values = {entry.key: entry.value for entry in status.values}
            stamp_ns = int(values.get("last_stamp_ns", 0))
            mine = found.setdefault(stamp_ns, {})
            mine.update({s: float(values[f"{s}_ms_last"]) / 1e3 for s in STAGES if f"{s}_ms_last" in values})
            if status.name == self.nodes[-1]:
                mine["delay"] = float(values.get("delay_ms_last", 0)) / 1e3
            names.setdefault(stamp_ns, set()).add(status.name)
        return {stamp_ns: times for stamp_ns, times in found.items() if names[stamp_ns] >= set(self.nodes)}

    def rate(self, rate_hz: float) -> None:
        """Change the camera's rate."""
        self.graph.set_parameters("simulated_camera", rate_hz=float(min(rate_hz, 200.0)))

    def memory_mb(self) -> float:
        """Resident memory of the nodes, without the camera."""
        pages = [Path(f"/proc/{self.graph.processes[n].pid}/statm").read_text().split()[1] for n in self.nodes]
        return sum(map(int, pages)) * 4096 / 1e6


def main(arguments: Arguments) -> None:
    """Measure and print the results."""
    heading("The ROS graph")
    with tempfile.TemporaryDirectory() as folder:
        store = two_versions(Path(folder) / "store")
        if "frames" in arguments.what:
            rows = []
            for name, nodes in ARRANGEMENTS.items():
                with live_graph(Path(folder)) as graph:
                    rows.append((name, *counted(graph, nodes, store, arguments.counted, arguments.rate_hz)))
            table(("arrangement", "received whole", "became poses"), rows)
        if "packages" in arguments.what:
            table(("CPU ms per 640x480 frame", "binpose", "package"), camera_path())
        if "middleware" in arguments.what:
            options = ["--counted", str(arguments.counted), "--rate-hz", str(arguments.rate_hz)]
            command = [sys.executable, __file__, "--what", "frames", *options]
            table(("middleware", "arrangement", "received whole", "became poses"), compared(command, set(ARRANGEMENTS)))
        if {"latency", "swaps", "load"} & set(arguments.what):
            with live_graph(Path(folder)) as graph:
                live = Live(graph, COMPOSED, store)
                print(f"start of the composed node to its first poses: {live.start_s:.1f} s\n")
                frame_s = live.frame_s()
                rows = [added("composed", live, arguments.frames)] if "latency" in arguments.what else []
                if "swaps" in arguments.what:
                    print(lost_in_swaps(live, store, arguments.swaps, 0.4 / frame_s))
                if "load" in arguments.what:
                    print(under_load(live, 2.0 / frame_s, arguments.overload_s))
        if "latency" in arguments.what:
            with live_graph(Path(folder)) as graph:
                live = Live(graph, SEPARATE, store)
                print(f"start of three nodes to their first poses: {live.start_s:.1f} s\n")
                rows.append(added("separate", live, arguments.frames))
            table(("arrangement", "latency ms", "library ms", "added by the graph ms", "of it until work begins"), rows)
        if "memory" in arguments.what:
            with live_graph(Path(folder)) as graph:
                width, height = arguments.small_px
                live = Live(graph, COMPOSED, store, width=width, height=height, parts=arguments.small_parts)
                print(memory(live, arguments.memory_frames))


def added(name: str, live: Live, frames: int) -> tuple[str, ...]:
    """Latency, the time of the library in it, and the rest."""
    live.rate(REPORTED_HZ)
    live.next(WARM_UP)
    latency_s = live.next(frames)
    time.sleep(2.0)  # wait for the diagnostics of these frames
    reported = {stamp_ns: times for stamp_ns, times in live.reported().items() if stamp_ns in latency_s}
    library_s = {stamp_ns: sum(times[stage] for stage in STAGES) for stamp_ns, times in reported.items()}
    rest_s = [latency_s[stamp_ns] - library_s[stamp_ns] for stamp_ns in reported]
    columns = (
        list(latency_s.values()),
        list(library_s.values()),
        rest_s,
        [times["delay"] for times in reported.values()],
    )
    return name, *(spread(np.array(values), 1e-3, digits) for values, digits in zip(columns, (0, 0, 1, 1), strict=True))


def lost_in_swaps(live: Live, store: Path, swaps: int, rate_hz: float) -> str:
    """Number of frames during swaps of models without poses."""
    from binpose_interfaces.srv import LoadModel

    live.rate(rate_hz)
    live.next(2)
    versions, before = ModelStore(store).versions(), len(live.sent)
    for swap in range(swaps):
        answer = live.graph.call("/bin_picking/load_model", LoadModel, store="", version=versions[swap % 2])
        if not answer.success:
            raise BinposeError(answer.message)
    sent = live.sent[before:]
    live.graph.wait(lambda: max(live.latency_s) >= sent[-1], "the last frame")
    lost = len(set(sent) - set(live.latency_s))
    return f"frames lost during {swaps} swaps at {rate_hz:.2f} Hz: {lost} of {len(sent)}"


def under_load(live: Live, rate_hz: float, seconds: float) -> str:
    """Latency in the first and the last quarter."""
    live.rate(rate_hz)
    live.next(2)
    before = len(live.latency_s)
    time.sleep(seconds)
    latency_s = list(live.latency_s.values())[before:]
    quarter = max(len(latency_s) // 4, 1)
    first, last = (1e3 * statistics.median(part) for part in (latency_s[:quarter], latency_s[-quarter:]))
    return (
        f"latency at twice the rate ({rate_hz:.2f} Hz) for {seconds:g} s: {first:.0f} ms in the first quarter, "
        f"{last:.0f} ms in the last ({len(latency_s)} frames)"
    )


def memory(live: Live, frames: int) -> str:
    """Growth of the resident memory, measured at each tenth of the frames, and the mean number of parts per frame."""
    live.rate(0.8 / live.frame_s())
    live.next(max(frames // 20, WARM_UP))
    found, memories_mb = live.found, [live.memory_mb()]
    for tenth in range(1, 11):
        live.next(frames // 10)
        memories_mb.append(live.memory_mb())
        print(f"{tenth * frames // 10} frames: {memories_mb[-1]:.1f} MB", flush=True)
    growth = 100 * (memories_mb[-1] / memories_mb[0] - 1)
    shown = (live.found - found) / frames
    return (
        f"memory over {frames} frames with {shown:.1f} parts reported in each: {memories_mb[0]:.1f} MB, {growth:+.2f} %"
    )


@contextmanager
def live_graph(folder: Path) -> Iterator[Any]:
    """The graph that the tests use."""
    spec = importlib.util.spec_from_file_location("live_graph", ROOT / "tests/ros/live_graph.py")
    assert spec is not None and spec.loader is not None
    tests: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    tests.use_loopback()
    graph = tests.Graph(tests.node_environment(), folder)
    try:
        yield graph
    finally:
        graph.close()


def two_versions(store: Path) -> Path:
    """The shipped model, and a second version of the same quality."""
    shutil.copytree(MODEL, store)
    stored = ModelStore(store).load()
    name = next(n for n, v in stored.tensors.items() if n.startswith("segmenter/") and v.dtype == np.float32)
    ModelStore(store).save({**stored.tensors, name: stored.tensors[name] * np.float32(1 + 1e-6)}, stored.header)
    return store


if __name__ == "__main__":
    main(tyro.cli(Arguments))
