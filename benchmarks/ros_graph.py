"""What the ROS graph costs: time beside the library's own, frames lost in swaps, latency under load, memory, start.

    source /opt/ros/jazzy/setup.bash
    python benchmarks/ros_graph.py [--frames 40] [--swaps 20] [--overload-s 60] [--memory-frames 200]

A simulated camera sends 640x480 RGB-D frames of a bin of 14 parts to the shipped model; all on the loopback interface.
Latency is the time from a frame's stamp, taken before it is sent, to the arrival of its poses in this process. What the
graph adds is the median latency less the medians of the three stages' own times, which the nodes report. Rates are
chosen from the machine's own time per frame, which is measured first.
"""

import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from binpose_core.errors import BinposeError
from binpose_core.model_store import ModelStore
from common import heading, spread, table

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "src/binpose/binpose/models/demo"
STAGES = ("detection", "pose", "refinement")
SEPARATE = ("refinement", "pose_estimator", "detection")
WARM_UP = 5
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Arguments:
    """frames: measured per arrangement. overload_s: at twice the rate. memory_frames: between the two looks."""

    frames: int = 40
    swaps: int = 20
    overload_s: float = 60.0
    memory_frames: int = 200


class Live:
    """A graph of nodes with one camera, and what arrives from it."""

    def __init__(self, graph: Any, nodes: tuple[str, ...], rate_hz: float, **parameters: Any) -> None:
        from vision_msgs.msg import Detection3DArray

        self.graph, self.nodes = graph, nodes
        self.latency_s: dict[int, float] = {}
        self.sent: list[int] = []
        graph.node.create_subscription(Detection3DArray, "/refinement/poses", self._arrived, 50)
        graph.node.create_subscription(Detection3DArray, "/simulated_camera/truth", self._exposed, 50)
        graph.start("simulated_camera", rate_hz=rate_hz, hold=1, views=4)
        graph.wait(lambda: self.sent, "a frame")
        start = time.perf_counter()
        for name in nodes:
            graph.start(name, **parameters)
        graph.wait(lambda: self.latency_s, "poses")
        self.start_s = time.perf_counter() - start

    def _arrived(self, message: Any) -> None:
        self.latency_s[_stamp_ns(message)] = (time.time_ns() - _stamp_ns(message)) / NS_PER_S

    def _exposed(self, message: Any) -> None:
        self.sent.append(_stamp_ns(message))

    def next(self, count: int) -> list[float]:
        """The latencies (s) of the next `count` frames that arrive."""
        before = len(self.latency_s)
        self.graph.wait(lambda: len(self.latency_s) >= before + count, f"{count} frames", 3600)
        return list(self.latency_s.values())[before : before + count]

    def told(self) -> dict[str, float]:
        """The nodes' own figures, added up."""
        found: dict[str, float] = {}
        for name in self.nodes:
            status = self.graph.wait(lambda name=name: self.graph.status(name), "diagnostics")
            for key, value in status.items():
                if key.endswith("_ms") or key.startswith("frames_"):
                    found[key] = found.get(key, 0.0) + float(value)
        return found

    def rate(self, rate_hz: float) -> None:
        """Change the camera's rate."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        message = Parameter("rate_hz", value=float(rate_hz)).to_parameter_msg()
        self.graph.call("/simulated_camera/set_parameters", SetParameters, parameters=[message])

    def memory_mb(self) -> float:
        """Resident memory of the nodes, without the camera."""
        pages = [Path(f"/proc/{self.graph.processes[n].pid}/statm").read_text().split()[1] for n in self.nodes]
        return sum(map(int, pages)) * 4096 / 1e6


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading("The ROS graph")
    with tempfile.TemporaryDirectory() as folder:
        store = two_versions(Path(folder) / "store")
        with live_graph(Path(folder)) as graph:
            live = Live(graph, ("bin_picking",), 0.5, model=str(store), watch_s=0.0)
            print(f"start of the composed node to its first poses: {live.start_s:.1f} s")
            live.next(WARM_UP)
            frame_s = live.told()["frame_ms"] / 1e3
            live.rate(0.5 / frame_s)
            rows = [added("composed", live, arguments.frames)]
            lost = lost_in_swaps(live, store, arguments.swaps, 0.4 / frame_s)
            overload = under_load(live, 2.0 / frame_s, arguments.overload_s)
            before = live.memory_mb()
            live.rate(1.0 / frame_s)
            live.next(arguments.memory_frames)
            after = live.memory_mb()
        with live_graph(Path(folder)) as graph:
            live = Live(graph, SEPARATE, 0.5, model=str(store), watch_s=0.0)
            print(f"start of three nodes to their first poses: {live.start_s:.1f} s\n")
            live.next(WARM_UP)
            live.rate(0.5 / frame_s)
            rows.append(added("separate", live, arguments.frames))
    table(("arrangement", "latency ms", "library ms", "added by the graph ms"), rows)
    print(f"frames lost during {arguments.swaps} swaps at {0.4 / frame_s:.2f} Hz: {lost}")
    print(f"latency at twice the rate ({2 / frame_s:.2f} Hz) for {arguments.overload_s:g} s: {overload}")
    print(f"memory over {arguments.memory_frames} frames: {before:.1f} MB, then {after:.1f} MB "
          f"({100 * (after - before) / before:+.2f} %)")  # fmt: skip


def added(name: str, live: Live, frames: int) -> tuple[str, ...]:
    """Latency, the library's share, and the rest."""
    live.next(WARM_UP)
    latency_s = np.array(live.next(frames))
    time.sleep(2.0)  # the diagnostics of these frames
    told = live.told()
    library_ms = sum(told[f"{stage}_ms"] for stage in STAGES)
    rest = 1e3 * float(np.median(latency_s)) - library_ms
    return name, spread(latency_s, 1e-3, 0), f"{library_ms:.0f}", f"{rest:.1f}"


def lost_in_swaps(live: Live, store: Path, swaps: int, rate_hz: float) -> str:
    """Frames sent while models were swapped whose poses never came."""
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
    return f"{len(set(sent) - set(live.latency_s))} of {len(sent)}"


def under_load(live: Live, rate_hz: float, seconds: float) -> str:
    """Latency in the first and the last quarter."""
    live.rate(rate_hz)
    live.next(2)
    before = len(live.latency_s)
    time.sleep(seconds)
    latency_s = list(live.latency_s.values())[before:]
    quarter = max(len(latency_s) // 4, 1)
    first, last = statistics.median(latency_s[:quarter]), statistics.median(latency_s[-quarter:])
    return f"{1e3 * first:.0f} ms in the first quarter, {1e3 * last:.0f} ms in the last ({len(latency_s)} frames)"


def two_versions(store: Path) -> Path:
    """The shipped model, and a second version of the same quality."""
    shutil.copytree(MODEL, store)
    stored = ModelStore(store).load()
    name = next(n for n, v in stored.tensors.items() if n.startswith("segmenter/") and v.dtype == np.float32)
    ModelStore(store).save({**stored.tensors, name: stored.tensors[name] * np.float32(1 + 1e-6)}, stored.header)
    return store


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


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * NS_PER_S + int(message.header.stamp.nanosec)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
