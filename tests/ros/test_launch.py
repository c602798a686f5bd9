"""The launch file starts what its arguments ask for, under names that the packages install."""

import configparser
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "src/binpose/launch/bin_picking.launch.py"


@pytest.fixture(scope="module")
def launch_file() -> Any:
    for name in ("launch", "launch_ros"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} cannot be imported: source ROS 2's setup.bash first")
    spec = importlib.util.spec_from_file_location("bin_picking_launch", LAUNCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        pytest.skip(f"ROS 2's launch library cannot be imported: {error}")
    return module


def started(launch_file: Any, **arguments: str) -> dict[str, Any]:
    """The nodes by their executables."""
    from launch import LaunchContext

    context = LaunchContext()
    defaults = {name: default for name, (default, _) in launch_file.ARGUMENTS.items()}
    context.launch_configurations.update(defaults | arguments)
    return {node.node_executable: node for node in launch_file.nodes(context)}


def parameters(node: Any) -> dict[str, Any]:
    """What a node is given, without files."""
    from launch_ros.utilities import evaluate_parameters

    from launch import LaunchContext

    given, *_ = evaluate_parameters(LaunchContext(), node._Node__parameters)
    return dict(given)


def installed(package: str) -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "src" / package / "setup.cfg")
    scripts = config["options.entry_points"]["console_scripts"]
    return {line.partition("=")[0].strip() for line in scripts.strip().splitlines()}


def test_composed_is_one_node_and_separate_one_per_stage(launch_file: Any) -> None:
    assert set(started(launch_file)) == {"bin_picking", "grasp_publisher"}
    separate = {"detection", "pose_estimator", "refinement", "grasp_publisher"}
    assert set(started(launch_file, composed="false")) == separate
    everything = started(launch_file, simulated_camera="true", record="true")
    assert set(everything) == {"bin_picking", "grasp_publisher", "simulated_camera", "self_training"}


@pytest.mark.parametrize("yes, no", [("true", "false"), ("True", "False"), ("1", "0")])
def test_switches_are_written_as_in_other_launch_files(launch_file: Any, yes: str, no: str) -> None:
    nodes = started(launch_file, composed=no, grasps=yes, simulated_camera=yes, record=yes, rviz=yes)
    stages = {"detection", "pose_estimator", "refinement", "grasp_publisher"}
    assert set(nodes) == stages | {"simulated_camera", "self_training", "rviz2"}
    alone = started(launch_file, composed=yes, grasps=no, simulated_camera=no, record=no, rviz=no)
    assert set(alone) == {"bin_picking"}
    assert parameters(started(launch_file, tf=yes)["bin_picking"])["tf"] is True
    assert parameters(started(launch_file, tf=no)["bin_picking"])["tf"] is False


def test_a_switch_that_is_neither_is_refused(launch_file: Any) -> None:
    from launch.conditions import InvalidConditionExpressionError

    with pytest.raises(InvalidConditionExpressionError, match="maybe"):
        started(launch_file, record="maybe")


def test_a_configuration_that_is_not_there_is_refused(launch_file: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a YAML file"):
        started(launch_file, config=str(tmp_path / "cell.yaml"))
    (tmp_path / "cell.yaml").write_text("{}")
    assert "bin_picking" in started(launch_file, config=str(tmp_path / "cell.yaml"))


@pytest.mark.parametrize(("composed", "looking"), [("true", "bin_picking"), ("false", "detection")])
def test_the_region_is_told_to_the_node_that_looks(launch_file: Any, composed: str, looking: str) -> None:
    outline = "10,10 90,10 90,90"
    nodes = started(launch_file, region=outline, composed=composed)
    assert {name for name, node in nodes.items() if parameters(node).get("region") == outline} == {looking}
    assert parameters(started(launch_file, composed=composed)[looking])["region"] == ""


@pytest.mark.parametrize("composed", ["true", "false"])
def test_the_grasps_are_of_the_same_model(launch_file: Any, composed: str, tmp_path: Path) -> None:
    nodes = started(launch_file, composed=composed, model=str(tmp_path))
    assert {parameters(node)["model"] for node in nodes.values()} == {str(tmp_path)}


def test_objects_may_be_divided_with_blanks(launch_file: Any) -> None:
    node = started(launch_file, objects="gear, bolt")["bin_picking"]
    assert tuple(parameters(node)["objects"]) == ("gear", "bolt")


@pytest.mark.parametrize("status, starts", [(2, 1), (1, 2)])
def test_a_node_that_refuses_a_parameter_is_not_started_again(
    launch_file: Any, tmp_path: Path, status: int, starts: int
) -> None:
    from binpose_ros.running import BAD_PARAMETER

    assert launch_file.BAD_PARAMETER == BAD_PARAMETER
    assert started(launch_file)["bin_picking"]._ExecuteLocal__on_exit is launch_file.unless_refused
    code = f"""
import importlib.util, sys
from launch.actions import ExecuteProcess
from launch import LaunchDescription, LaunchService
spec = importlib.util.spec_from_file_location("bin_picking_launch", {str(LAUNCH)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
process = ExecuteProcess(
    cmd=[sys.executable, "-c", "import sys; open('starts', 'a').write('+'); sys.exit({status})"],
    respawn=True, respawn_delay=0.3, respawn_max_retries=1, on_exit=module.unless_refused,
)
service = LaunchService()
service.include_launch_description(LaunchDescription([process]))
sys.exit(service.run())
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60, capture_output=True)
    assert (tmp_path / "starts").read_text() == "+" * starts


def remapped(node: Any) -> dict[str, str]:
    from launch.utilities import perform_substitutions

    from launch import LaunchContext

    context = LaunchContext()
    return {
        perform_substitutions(context, source): perform_substitutions(context, target)
        for source, target in node._Node__remappings
    }


@pytest.mark.parametrize("composed", ["true", "false"])
def test_a_second_camera_has_transforms_and_a_frame_of_its_own(launch_file: Any, composed: str) -> None:
    nodes = started(launch_file, composed=composed, tf_prefix="left", target_frame="base_link")
    refining = parameters(nodes["bin_picking" if composed == "true" else "refinement"])
    assert refining["tf_prefix"] == "left" and refining["target_frame"] == "base_link"
    default = parameters(started(launch_file, composed=composed)["bin_picking" if composed == "true" else "refinement"])
    assert default["tf_prefix"] == "bin" and default["target_frame"] == ""


@pytest.mark.parametrize("composed", ["true", "false"])
def test_transports_are_those_of_all_stages_and_of_the_recording(launch_file: Any, composed: str) -> None:
    chosen = {"color_transport": "compressed", "depth_transport": "compressedDepth"}
    nodes = started(launch_file, composed=composed, record="true", camera_ns="/cam", **chosen)
    recorder = remapped(nodes.pop("self_training"))
    assert recorder["color/image_raw"] == "/cam/color/image_raw/compressed"
    assert recorder["aligned_depth_to_color/image_raw"] == "/cam/aligned_depth_to_color/image_raw/compressedDepth"
    for node in nodes.values():
        assert chosen.items() <= parameters(node).items()
        assert remapped(node)["color/image_raw"] == "/cam/color/image_raw"


def test_every_node_is_installed(launch_file: Any) -> None:
    for composed in ("true", "false"):
        for name, node in started(launch_file, composed=composed, simulated_camera="true", record="true").items():
            assert name in installed(node.node_package)


def test_every_argument_is_described(launch_file: Any) -> None:
    from launch.actions import DeclareLaunchArgument

    entities = launch_file.generate_launch_description().entities
    declared = {entity.name: entity.description for entity in entities if isinstance(entity, DeclareLaunchArgument)}
    assert set(declared) == set(launch_file.ARGUMENTS) and all(declared.values())
    assert not [name for name in declared if f"`{name}`" not in (ROOT / "docs/ros.md").read_text()]


def test_a_shipped_model_goes_by_its_name_and_others_by_their_folder(launch_file: Any, tmp_path: Path) -> None:
    from binpose.bundle import SHIPPED

    assert Path(launch_file.resolved_model("demo")) == SHIPPED / "demo"
    assert Path(launch_file.resolved_model(str(tmp_path))) == tmp_path


def test_rviz_shows_the_topics_of_this_camera_and_namespace(launch_file: Any) -> None:
    from ruamel.yaml import YAML

    config = YAML(typ="safe").load(ROOT / "src/binpose/config/bin_picking.rviz")
    shown = [d["Topic"]["Value"] for d in config["Visualization Manager"]["Displays"] if "Topic" in d]
    node = started(launch_file, rviz="true", namespace="cell", color_topic="/left/color")["rviz2"]
    topics = remapped(node)
    assert set(topics) == set(shown)
    assert topics["/camera/color/image_raw"] == "/left/color"
    assert topics["/refinement/poses"] == "refinement/poses"
    assert node._Node__node_namespace == "cell"
