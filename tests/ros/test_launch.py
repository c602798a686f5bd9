"""The launch file starts what its arguments ask for, under names that the packages install."""

import configparser
import importlib.util
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


def installed(package: str) -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "src" / package / "setup.cfg")
    scripts = config["options.entry_points"]["console_scripts"]
    return {line.partition("=")[0].strip() for line in scripts.strip().splitlines()}


def test_composed_is_one_node_and_separate_one_per_stage(launch_file: Any) -> None:
    assert set(started(launch_file)) == {"bin_picking"}
    assert set(started(launch_file, composed="false")) == {"detection", "pose_estimator", "refinement"}
    everything = started(launch_file, simulated_camera="true", record="true")
    assert set(everything) == {"bin_picking", "simulated_camera", "self_training"}


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
    from launch.utilities import perform_substitutions
    from ruamel.yaml import YAML

    from launch import LaunchContext

    config = YAML(typ="safe").load(ROOT / "src/binpose/config/bin_picking.rviz")
    shown = [d["Topic"]["Value"] for d in config["Visualization Manager"]["Displays"] if "Topic" in d]
    node = started(launch_file, rviz="true", namespace="cell", color_topic="/left/color")["rviz2"]
    context = LaunchContext()
    remapped = {
        perform_substitutions(context, source): perform_substitutions(context, target)
        for source, target in node._Node__remappings
    }
    assert set(remapped) == set(shown)
    assert remapped["/camera/color/image_raw"] == "/left/color"
    assert remapped["/refinement/poses"] == "refinement/poses"
    assert node._Node__node_namespace == "cell"
