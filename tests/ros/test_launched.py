"""The graph that the launch file describes comes up under the names that its arguments ask for.

`ros2 launch` starts it, with the packages' executables; where ROS' launch library is not installed, these tests start
the modules of the same nodes with the same arguments.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from launching import LAUNCH, ROOT, console_scripts, load_launch_file, started
from live_graph import Graph
from live_messages import parts, poses_of

CONFIG = "/**/simulated_camera: {ros__parameters: {rate_hz: 1.0, hold: 1000, views: 1}}\n"
CAMERA_TOPICS = ("color/image_raw", "color/camera_info", "aligned_depth_to_color/image_raw")

START_S = 400.0  # All processes may have to compile their kernels first.
STAGES = ("detection", "pose_estimator", "refinement")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with what colcon would install of each package: its place in the index, and its executables."""
    prefix = tmp_path_factory.mktemp("install")
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    for file in sorted((ROOT / "src").glob("*/setup.cfg")):
        (index / file.parent.name).touch()
        for name, module in console_scripts(file.parent.name).items():
            path = prefix / "lib" / file.parent.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!{sys.executable}\nfrom {module.replace(':', ' import ')}\nmain()\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return prefix


@pytest.fixture
def launch(graph: Graph, ros_environment: dict[str, str], installed: Path, tmp_path: Path) -> Iterator[Any]:
    """Starts what the launch file describes, with a slow camera and other arguments."""
    config = tmp_path / "camera.yaml"
    config.write_text(CONFIG)
    ros2 = shutil.which("ros2")
    environment = dict(ros_environment, ROS_DOMAIN_ID=str(graph.domain), ROS_LOG_DIR=str(tmp_path / "log"))
    environment["AMENT_PREFIX_PATH"] = os.pathsep.join([str(installed), environment.get("AMENT_PREFIX_PATH", "")])

    def start(**arguments: str) -> None:
        given = {"config": str(config), "simulated_camera": "true", **arguments}
        if ros2 is None:
            start_modules(graph, given)
            return
        graph.processes["launch"] = subprocess.Popen(
            [ros2, "launch", LAUNCH, *(f"{name}:={value}" for name, value in given.items())],
            env=environment, stdout=(graph.folder / "launch.log").open("wb"), stderr=subprocess.STDOUT,
            start_new_session=True,
            # Python has Ctrl-C raise KeyboardInterrupt only where it was not told to ignore it, as in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    yield start
    for name in list(graph.processes):
        process = graph.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start_modules(graph: Graph, arguments: dict[str, str]) -> None:
    """The nodes of the launch file, each as `python -m`."""
    for name, node in started(load_launch_file(), **arguments).items():
        module = console_scripts(node.package)[node.executable].partition(":")[0]
        files = [word for path in node.files for word in ("--params-file", path)]
        space = ["-r", f"__ns:=/{node.namespace}"] if node.namespace else []
        own = [word for word in node.arguments if word != "--ros-args"]
        graph.run(name, module, node.parameters, node.remappings.items(), [*files, *space, *own])


def ended(graph: Graph) -> str:
    """What was printed until Ctrl-C had ended the launch file, or the modules, and all that was started."""
    processes = dict(graph.processes)
    for process in processes.values():
        process.send_signal(signal.SIGINT)
    # Longer than the patience that the launch file has with its nodes.
    statuses = {name: process.wait(60) for name, process in processes.items()}
    graph.processes.clear()
    log = "".join(graph.log(name) for name in processes)
    assert not any(statuses.values()), log
    assert "Traceback" not in log and "process has died" not in log and "SIGKILL" not in log, log
    assert log.count("process has finished cleanly") == log.count("process started with pid"), log
    return log


def topics(graph: Graph) -> set[str]:
    return {name for name, _ in graph.node.get_topic_names_and_types()}


def nodes(graph: Graph) -> set[str]:
    """The full names of the nodes, but for the client and that of `ros2 launch`.

    A node whose name has not arrived yet has a stand-in, which starts with "_".
    """
    found = {f"{space.rstrip('/')}/{name}" for name, space in graph.node.get_node_names_and_namespaces()}
    return {name for name in found if name != "/client" and not name.startswith(("/launch_ros_", "/_"))}


def test_all_stages_in_one_node_with_a_camera_of_another_name(graph: Graph, launch: Any) -> None:
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray

    poses = graph.listen("/refinement/poses", Detection3DArray)
    transforms = graph.listen("/tf", TFMessage)
    launch(composed="true", camera_ns="/left/cam", color_topic="/left/picture", log_level="warn")
    graph.wait(lambda: any(array.detections for array in list(poses)), "poses", START_S)
    graph.wait(lambda: any(message.transforms for message in list(transforms)), "transforms")
    expected = {"/left/picture", "/left/cam/color/camera_info", "/left/cam/aligned_depth_to_color/image_raw"}
    assert expected <= topics(graph)
    assert not {f"/{own}" for own in CAMERA_TOPICS} & topics(graph), "all nodes have the camera's other names"
    assert {"/bin_picking", "/simulated_camera"} <= nodes(graph) and not nodes(graph) & {f"/{name}" for name in STAGES}
    log = ended(graph)
    assert "Active, with model" not in log, "the log level is the one that was asked for"


def test_one_process_per_stage_in_a_namespace(graph: Graph, launch: Any, store: Path) -> None:
    """Their topics, services and followers are those of the namespace; a model is put in use in all of them."""
    from binpose_interfaces.srv import LoadModel
    from vision_msgs.msg import Detection3DArray

    from binpose_core.learning.model_store import ModelStore
    from binpose_ros.vision_arrays import split_id

    poses = graph.listen("/cell/refinement/poses", Detection3DArray)
    *wanted, unwanted = parts()
    launch(composed="false", namespace="cell", model=str(store), objects=", ".join(wanted))
    graph.wait(lambda: any(array.detections for array in list(poses)), "poses", START_S)
    assert {f"/cell/camera/{own}" for own in CAMERA_TOPICS} <= topics(graph)
    expected = {f"/cell/{name}" for name in (*STAGES, "simulated_camera")}
    graph.wait(lambda: expected <= nodes(graph), "the names of all nodes")
    assert all(name.startswith("/cell/") and name != "/cell/bin_picking" for name in nodes(graph))
    assert unwanted not in {pose.object_id for array in list(poses) for pose in poses_of(array)}
    following = [f"cell/{name}" for name in (*STAGES, "grasp_publisher")]
    graph.wait(lambda: all(graph.status(name).get("state") == "active" for name in following), "all nodes")
    models = ModelStore(store)
    (other,) = set(models.versions()) - {models.current()}
    answer = graph.call("/cell/detection/load_model", LoadModel, store="", version=other)
    assert answer.success, answer.message
    graph.wait(
        lambda: poses[-1].detections and split_id(poses[-1].detections[0].id)[0] == other[:12], "poses of that model"
    )
    ended(graph)
