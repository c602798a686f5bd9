"""Counts frames that the middleware transports completely, for each installed middleware; a part of ros_graph.py."""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from binpose_ros.serialized import serialized_header

FIRST = 5  # frames that do not count, because discovery may be incomplete
DIAGNOSTICS_S = 2.0  # period in which the nodes report received frames
CHOOSING = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
# Environment variables of each middleware. DEFAULT is Fast DDS's behaviour without any variable; if none of CHOOSING is
# set, the graph uses the shipped profile.
MIDDLEWARES = {
    "Fast DDS, as it comes": {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "FASTDDS_BUILTIN_TRANSPORTS": "DEFAULT"},
    "Fast DDS, config/fastdds.xml": {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"},
    "Cyclone DDS": {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
}


def counted(graph: Any, nodes: Sequence[str], store: Path, count: int, rate_hz: float) -> tuple[str, str]:
    """Of `count` frames, those that the first node received completely, and those with poses."""
    from vision_msgs.msg import Detection3DArray

    sent: set[int] = set()
    came: set[int] = set()

    def keep(topic: str, stamps: set[int]) -> None:
        def taken(data: bytes) -> None:
            stamps.add(serialized_header(data).stamp_ns)

        graph.node.create_subscription(Detection3DArray, topic, taken, 50, raw=True)

    keep("/refinement/poses", came)
    keep("/simulated_camera/truth", sent)
    for name in nodes:
        graph.start(name, model=str(store), watch_s=0.0)
    for name in nodes:
        graph.wait(lambda n=name: graph.status(n).get("state") == "active", f"active {name}")
    graph.start("simulated_camera", rate_hz=rate_hz, hold=1, views=4)
    graph.wait(lambda: len(sent) >= FIRST, "the first frames")
    time.sleep(DIAGNOSTICS_S)
    before, early = received(graph, nodes[-1]), set(sent)
    graph.wait(lambda: len(sent - early) >= count, "the frames", 24 * 3600)
    graph.set_parameters("simulated_camera", rate_hz=0.01)
    time.sleep(DIAGNOSTICS_S + 3.0)  # wait for the last frame
    late = sent - early
    whole = min(received(graph, nodes[-1]) - before, len(late))
    return f"{whole} of {len(late)}", f"{len(came & late)} of {len(late)}"


def received(graph: Any, name: str) -> int:
    """The number of frames that a node has received completely, processed or not."""
    status = graph.status(name)
    return sum(int(status.get(f"frames_{kind}", 0)) for kind in ("done", "failed", "dropped"))


def compared(command: Sequence[str], arrangements: Collection[str]) -> list[tuple[str, ...]]:
    """The rows that a command prints for each arrangement, with each middleware."""
    rows: list[tuple[str, ...]] = []
    for name, variables in MIDDLEWARES.items():
        environment = {key: value for key, value in os.environ.items() if key not in CHOOSING} | variables
        attempt = [sys.executable, "-c", "import rclpy; rclpy.init()"]
        if subprocess.run(attempt, env=environment, capture_output=True).returncode:
            rows.append((name, "not installed", "", ""))
            continue
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
        rows += [(name, *line) for line in lines if line[0] in arrangements]
    return rows
