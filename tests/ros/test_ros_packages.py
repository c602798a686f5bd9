"""The nodes give the same poses with message_filters, cv_bridge and tf_transformations, and without them."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_graph import Graph
from live_messages import assert_those_of_the_library, complete_frame

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

PACKAGES = ("message_filters", "cv_bridge", "tf_transformations")
NODES = ("detection", "pose_estimator", "refinement")


@pytest.fixture(scope="module", params=["installed", "missing"])
def live(request: Any, ros_environment: dict[str, str], tmp_path_factory: Any) -> Iterator[Graph]:
    """All stages in processes of their own; for `missing` they cannot import the packages."""
    folder = tmp_path_factory.mktemp("graph")
    environment = dict(ros_environment)
    if request.param == "missing":
        hide(folder, environment)
    elif not [name for name in PACKAGES if importlib.util.find_spec(name)]:
        pytest.skip(f"none of {', '.join(PACKAGES)} is installed")
    graph = Graph(environment, folder)
    graph.is_missing = request.param == "missing"  # type: ignore[attr-defined]
    yield graph
    graph.close()


def hide(folder: Path, environment: dict[str, str]) -> None:
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in PACKAGES)]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    environment["PYTHONPATH"] = f"{folder}{os.pathsep}{environment['PYTHONPATH']}"


def test_poses_are_those_of_the_library(live: Any) -> None:
    from vision_msgs.msg import Detection3DArray

    poses = live.listen("/refinement/poses", Detection3DArray)
    for name in reversed(NODES):
        live.start(name, watch_s=0.0)
    live.start("simulated_camera", rate_hz=0.5, hold=1000, views=1)
    live.wait(lambda: any(array.detections for array in list(poses)), "poses")
    assert_those_of_the_library(*complete_frame(live, poses), looks=1)
    for name in NODES:
        used = live.log(name).split("ROS packages in use: ")[1].splitlines()[0]
        assert (used == "none") == live.is_missing, used
        assert "Traceback" not in live.log(name)
