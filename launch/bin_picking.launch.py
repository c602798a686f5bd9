"""The ROS graph: camera topics in, poses of parts and grasps out.

ros2 launch binpose bin_picking.launch.py model:=models/wrs camera_ns:=/camera/camera
ros2 launch binpose bin_picking.launch.py simulated_camera:=true rviz:=true
ros2 launch binpose bin_picking.launch.py simulated_cell:=true
"""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import evaluate_condition_expression
from launch.events import matches_action
from launch.events.process import ProcessExited, ShutdownProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

CAMERA_TOPICS = ("color/image_raw", "color/camera_info", "aligned_depth_to_color/image_raw")
FOLLOWERS = ["pose_estimator", "refinement"]
GRASPS, STATUS = "grasp_publisher", "model_status"
# A node finishes its frame and its files first; the 5 s that launch gives are too few on a busy machine.
PATIENCE_S = "15"
BAD_PARAMETER = 2  # exit status of a node that refuses a parameter (binpose_ros.running, which is not imported here)
RVIZ_CAMERA = "/camera/color/image_raw"
RVIZ_RESULTS = ("refinement/overlay", "refinement/markers", "refinement/poses", "grasp_publisher/grasp_poses")
# Fast DDS' shared memory holds half an image by default. Fast DDS 2 reads the first variable, Fast DDS 3 the second.
FASTDDS_PROFILE = Path(__file__).parents[1] / "config" / "fastdds.xml"
FASTDDS_FILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FASTDDS_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
# What the other nodes must know of the simulated cell: its frames, its bin, and that the hand comes from above.
CELL_FILE = Path(__file__).parents[1] / "config" / "simulated_cell.yaml"
SWITCHES = ("composed", "grasps", "simulated_camera", "simulated_cell", "record", "self_training", "rviz", "tf")
ARGUMENTS = {
    "model": ("demo", "Folder of the model store, or the name of a shipped model."),
    "camera_ns": ("camera", "Namespace of the camera's topics."),
    "color_topic": ("", "Colour image, where it is not <camera_ns>/color/image_raw."),
    "info_topic": ("", "Camera info, where it is not <camera_ns>/color/camera_info."),
    "depth_topic": ("", "Depth aligned to colour, where it is not <camera_ns>/aligned_depth_to_color/image_raw."),
    "color_transport": ("raw", "How colour images arrive: raw or compressed."),
    "depth_transport": ("raw", "How depth images arrive: raw, compressed or compressedDepth."),
    "objects": ("", "Parts to be reported, divided by commas; all when empty."),
    "region": ("", "Outline of the bin in pixels: 'u,v u,v u,v'; everywhere when empty."),
    "device": ("cpu", "Where the networks run: cpu or cuda."),
    "composed": ("true", "All stages in one process; else one process per stage."),
    "grasps": ("true", "Start the node that offers grasps of the parts."),
    "simulated_camera": ("false", "Start a camera above a simulated bin."),
    "simulated_cell": ("false", "Start a simulated cell, whose bin is emptied with the grasps."),
    "arm": ("none", "Arm that must reach the grasps, and that carries the hand of the simulated cell: fer or fr3."),
    "record": ("false", "Record what the camera sees."),
    "recordings": ("~/binpose_recordings", "Folder of the recordings."),
    "self_training": ("false", "Start the node that trains the model on recordings, and watches it on live frames."),
    "rviz": ("false", "Start RViz."),
    "tf": ("true", "Send a transform for each part."),
    "tf_prefix": ("bin", "What the names of the parts' transforms begin with; another one for each camera."),
    "target_frame": ("", "Frame of the published poses, such as base_link; the camera's when empty."),
    "config": ("", "YAML file with parameters that replace the defaults."),
    "namespace": ("", "Namespace of all nodes."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}


def resolved_model(name: str) -> str:
    """The folder of a model: one that is there, or that of a shipped model.

    `ros2 launch` runs with the system's Python, which does not see binpose's libraries: the package is found, not
    imported.
    """
    path, package = Path(name).expanduser(), find_spec("binpose_pipeline")
    shipped = Path(next(iter(package.submodule_search_locations or ()))) / "models" / name if package else path
    return str(shipped if not any(path.glob("weights-*")) and shipped.is_dir() else path.absolute())


def fastdds_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that give Fast DDS the shipped profile; none where the user has chosen a profile or transports."""
    if any(environment.get(name) for name in (*FASTDDS_FILES, FASTDDS_TRANSPORTS)):
        return {}
    return dict.fromkeys(FASTDDS_FILES, str(FASTDDS_PROFILE))


def middleware(context: LaunchContext) -> list[Any]:
    """Sets the profile for Fast DDS; other middlewares do not read it."""
    return [SetEnvironmentVariable(*variable) for variable in fastdds_environment(os.environ).items()]


def transported(topic: str, transport: str) -> str:
    """The topic of a transport, as image_transport names it; the nodes themselves follow their parameter."""
    return topic if transport == "raw" or topic.endswith(f"/{transport}") else f"{topic}/{transport}"


def arm_parameter(name: str, arm: str) -> dict[str, Any]:
    """The parameter of an arm; none for no arm, so that a file may name one."""
    return {} if arm == "none" else {name: arm}


def unless_refused(event: ProcessExited, context: LaunchContext) -> list[Any]:
    """Start a node again when it ends, but not with a parameter that it refused."""
    if event.returncode != BAD_PARAMETER:
        return []
    return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action)))]


def nodes(context: LaunchContext) -> list[Any]:
    """The nodes that the arguments select."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    wanted = {name: evaluate_condition_expression(context, [LaunchConfiguration(name)]) for name in SWITCHES}
    camera_ns = value["camera_ns"].rstrip("/")
    given = (value["color_topic"], value["info_topic"], value["depth_topic"])
    topics = [topic or f"{camera_ns}/{own}" for topic, own in zip(given, CAMERA_TOPICS, strict=True)]
    model = resolved_model(value["model"])
    files = [value["config"]] if value["config"] else []
    if missing := [name for name in files if not Path(name).expanduser().is_file()]:
        raise FileNotFoundError(f"No file {missing[0]}; expected a YAML file with parameters; check config:=.")
    if wanted["simulated_cell"]:
        if wanted["simulated_camera"] or not wanted["grasps"]:
            raise ValueError("simulated_cell:=true expects simulated_camera:=false and grasps:=true; change them.")
        files.insert(0, str(CELL_FILE))
    transports = {name: value[name] for name in ("color_transport", "depth_transport")}
    stage: dict[str, Any] = {"model": model, "device": value["device"], **transports}
    result: dict[str, Any] = {"tf": wanted["tf"], **{name: value[name] for name in ("tf_prefix", "target_frame")}}
    looking = {"region": value["region"]}
    if value["objects"]:
        result["objects"] = [name.strip() for name in value["objects"].split(",")]

    def node(
        package: str,
        executable: str,
        parameters: dict[str, Any],
        remappings: Sequence[tuple[str, str]] = (),
        camera: Sequence[str] = topics,
    ) -> Node:
        return Node(
            package=package,
            executable=executable,
            name=executable,
            namespace=value["namespace"],
            parameters=[parameters, *files],
            remappings=[*zip(CAMERA_TOPICS, camera, strict=True), *remappings],
            arguments=["--ros-args", "--log-level", value["log_level"]],
            output="screen",
            respawn=True,
            respawn_delay=1.0,
            on_exit=unless_refused,
            sigterm_timeout=PATIENCE_S,
        )

    followers = [*FOLLOWERS, *([GRASPS] if wanted["grasps"] else [])]
    if wanted["composed"]:
        found = [node("binpose", "bin_picking", stage | looking | result)]
    else:
        found = [
            node("binpose_detection", "detection", stage | looking | {"followers": followers}),
            node("binpose_estimator", "pose_estimator", stage),
            node("binpose_refinement", "refinement", stage | result),
        ]
    if wanted["grasps"]:
        leader = [(f"detection/{STATUS}", f"bin_picking/{STATUS}")] if wanted["composed"] else []
        found.append(node("binpose_grasping", GRASPS, stage | arm_parameter("planner.arm.name", value["arm"]), leader))
    if wanted["record"] or wanted["self_training"]:
        names = ["bin_picking"] if wanted["composed"] else ["detection", *FOLLOWERS]
        events = [*(f"{name}/{STATUS}" for name in names), "pick_outcomes"]
        recording: dict[str, Any] = {"record": wanted["record"], "directory": value["recordings"], "events": events}
        if wanted["self_training"]:
            recording["model"] = model
        recorded = [transported(topics[0], value["color_transport"]), topics[1]]
        recorded.append(transported(topics[2], value["depth_transport"]))
        found.append(node("binpose_self_training", "self_training", recording, camera=recorded))
    if wanted["simulated_camera"]:
        found.append(node("binpose_simulation", "simulated_camera", {"model": model}))
    if wanted["simulated_cell"]:
        cell = {"model": model, **arm_parameter("physics.arm.name", value["arm"])}
        found.append(node("binpose_cell", "simulated_cell", cell))
    if wanted["rviz"]:
        found.append(rviz(value["namespace"], topics[0]))
    return found


def rviz(namespace: str, color_topic: str) -> Node:
    """RViz, with the topics of its configuration mapped to those of this camera and namespace."""
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        arguments=["-d", PathJoinSubstitution([FindPackageShare("binpose"), "config", "bin_picking.rviz"])],
        remappings=[(RVIZ_CAMERA, color_topic), *((f"/{topic}", topic) for topic in RVIZ_RESULTS)],
    )


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` starts."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    # OpenMP's threads would spin while they wait, and slow all other processes down.
    passive = SetEnvironmentVariable("OMP_WAIT_POLICY", "PASSIVE")
    before = [passive, OpaqueFunction(function=middleware)]
    return LaunchDescription([*arguments, *before, OpaqueFunction(function=nodes)])
