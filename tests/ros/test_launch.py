"""The launch file starts what its arguments ask for, under names that the packages install."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from launching import INSTALLED, LAUNCH, ROOT, console_scripts, load_launch_file, started


@pytest.fixture(scope="module")
def launch_file() -> Any:
    return load_launch_file()


def test_composed_is_one_node_and_separate_one_per_stage(launch_file: Any) -> None:
    assert set(started(launch_file)) == {"bin_picking", "grasp_publisher"}
    separate = {"detection", "pose_estimator", "refinement", "grasp_publisher"}
    assert set(started(launch_file, composed="false")) == separate
    everything = started(launch_file, simulated_camera="true", record="true")
    assert set(everything) == {"bin_picking", "grasp_publisher", "simulated_camera", "self_training"}


def test_a_simulated_cell_comes_with_what_the_grasps_must_know_of_it(launch_file: Any) -> None:
    """The file for the planner agrees with the defaults of the cell."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")
    from ruamel.yaml import YAML

    from binpose_cell.filled_bin import TRAY_SIZE_M
    from binpose_cell.node_settings import CellNodeSettings
    from binpose_grasping.node import GraspSettings
    from binpose_ros.settings import specs, with_values

    nodes = started(launch_file, simulated_cell="true", composed="true", color_topic="/left")
    assert set(nodes) == {"bin_picking", "grasp_publisher", "simulated_cell"}
    assert nodes["simulated_cell"].remappings["color/image_raw"] == "/left"
    (file,) = nodes["grasp_publisher"].files
    (values,) = YAML(typ="safe").load(Path(file).read_text()).values()
    flat = dict(_flat(values["ros__parameters"]))
    settings = with_values(GraspSettings(), flat)
    bin_, default = settings.planner.cell.bin, CellNodeSettings()
    assert (bin_.size_x_m, bin_.size_y_m, bin_.depth_m) == TRAY_SIZE_M
    assert bin_.placement == default.physics.bin and settings.base_frame == default.base_frame
    assert settings.planner.down_frame == "base" and settings.planner.down.z < 0
    assert set(flat) <= {spec.name for spec in specs(GraspSettings())}


def test_the_arm_is_that_of_the_grasps_and_of_the_cell(launch_file: Any) -> None:
    nodes = started(launch_file, simulated_cell="true", arm="fer")
    assert nodes["grasp_publisher"].parameters["planner.arm.name"] == "fer"
    assert nodes["simulated_cell"].parameters["physics.arm.name"] == "fer"
    assert "planner.arm.name" not in started(launch_file)["grasp_publisher"].parameters


@pytest.mark.parametrize("other", [{"simulated_camera": "true"}, {"grasps": "false"}])
def test_a_simulated_cell_needs_grasps_and_is_the_only_camera(launch_file: Any, other: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="simulated_camera:=false and grasps:=true"):
        started(launch_file, simulated_cell="true", **other)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_the_node_that_trains_has_the_model_of_the_others_and_a_recorder_alone_has_none(
    launch_file: Any, tmp_path: Path
) -> None:
    model = {"model": str(tmp_path)}
    recorder = started(launch_file, record="true", **model)["self_training"].parameters
    assert recorder["record"] is True and not recorder.get("model")
    nodes = started(launch_file, self_training="true", **model)
    trainer = nodes["self_training"].parameters
    assert trainer["record"] is False and trainer["model"] == nodes["bin_picking"].parameters["model"]
    assert "bin_picking/model_status" in trainer["events"]


@pytest.mark.parametrize("yes, no", [("true", "false"), ("True", "False"), ("1", "0")])
def test_switches_are_written_as_in_other_launch_files(launch_file: Any, yes: str, no: str) -> None:
    nodes = started(launch_file, composed=no, grasps=yes, simulated_camera=yes, record=yes, rviz=yes)
    stages = {"detection", "pose_estimator", "refinement", "grasp_publisher"}
    assert set(nodes) == stages | {"simulated_camera", "self_training", "rviz2"}
    alone = started(launch_file, composed=yes, grasps=no, simulated_camera=no, record=no, rviz=no)
    assert set(alone) == {"bin_picking"}
    assert started(launch_file, tf=yes)["bin_picking"].parameters["tf"] is True
    assert started(launch_file, tf=no)["bin_picking"].parameters["tf"] is False


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
    assert {name for name, node in nodes.items() if node.parameters.get("region") == outline} == {looking}
    assert started(launch_file, composed=composed)[looking].parameters["region"] == ""


@pytest.mark.parametrize("composed", ["true", "false"])
def test_the_grasps_are_of_the_same_model(launch_file: Any, composed: str, tmp_path: Path) -> None:
    nodes = started(launch_file, composed=composed, model=str(tmp_path))
    assert {node.parameters["model"] for node in nodes.values()} == {str(tmp_path)}


def test_objects_may_be_divided_with_blanks(launch_file: Any) -> None:
    node = started(launch_file, objects="gear, bolt")["bin_picking"]
    assert tuple(node.parameters["objects"]) == ("gear", "bolt")


@pytest.mark.parametrize("status, starts", [(2, 1), (1, 2)])
def test_a_node_that_refuses_a_parameter_is_not_started_again(
    launch_file: Any, tmp_path: Path, status: int, starts: int
) -> None:
    from binpose_ros.running import BAD_PARAMETER

    assert launch_file.BAD_PARAMETER == BAD_PARAMETER
    assert started(launch_file)["bin_picking"].on_exit is launch_file.unless_refused
    if not INSTALLED:
        pytest.skip("ROS' launch library is not installed: nothing starts a node again")
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


@pytest.mark.parametrize("composed", ["true", "false"])
def test_a_second_camera_has_transforms_and_a_frame_of_its_own(launch_file: Any, composed: str) -> None:
    nodes = started(launch_file, composed=composed, tf_prefix="left", target_frame="base_link")
    refining = nodes["bin_picking" if composed == "true" else "refinement"].parameters
    assert refining["tf_prefix"] == "left" and refining["target_frame"] == "base_link"
    default = started(launch_file, composed=composed)["bin_picking" if composed == "true" else "refinement"].parameters
    assert default["tf_prefix"] == "bin" and default["target_frame"] == ""


@pytest.mark.parametrize("composed", ["true", "false"])
def test_transports_are_those_of_all_stages_and_of_the_recording(launch_file: Any, composed: str) -> None:
    chosen = {"color_transport": "compressed", "depth_transport": "compressedDepth"}
    nodes = started(launch_file, composed=composed, record="true", camera_ns="/cam", **chosen)
    recorder = nodes.pop("self_training").remappings
    assert recorder["color/image_raw"] == "/cam/color/image_raw/compressed"
    assert recorder["aligned_depth_to_color/image_raw"] == "/cam/aligned_depth_to_color/image_raw/compressedDepth"
    for node in nodes.values():
        assert chosen.items() <= node.parameters.items()
        assert node.remappings["color/image_raw"] == "/cam/color/image_raw"


def test_every_node_is_installed(launch_file: Any) -> None:
    for composed in ("true", "false"):
        for camera in ("simulated_camera", "simulated_cell"):
            for name, node in started(launch_file, composed=composed, record="true", **{camera: "true"}).items():
                assert name in console_scripts(node.package)


def test_every_argument_is_described(launch_file: Any) -> None:
    from launch.actions import DeclareLaunchArgument

    entities = launch_file.generate_launch_description().entities
    declared = {entity.name: entity.description for entity in entities if isinstance(entity, DeclareLaunchArgument)}
    assert set(declared) == set(launch_file.ARGUMENTS) and all(declared.values())
    assert not [name for name in declared if f"`{name}`" not in (ROOT / "docs/ros.md").read_text()]


def test_a_shipped_model_goes_by_its_name_and_others_by_their_folder(launch_file: Any, tmp_path: Path) -> None:
    from binpose_pipeline.bundle import SHIPPED

    assert Path(launch_file.resolved_model("demo")) == SHIPPED / "demo"
    assert Path(launch_file.resolved_model(str(tmp_path))) == tmp_path


def test_rviz_shows_the_topics_of_this_camera_and_namespace(launch_file: Any) -> None:
    from ruamel.yaml import YAML

    config = YAML(typ="safe").load(ROOT / "config/bin_picking.rviz")
    shown = [d["Topic"]["Value"] for d in config["Visualization Manager"]["Displays"] if "Topic" in d]
    node = started(launch_file, rviz="true", namespace="cell", color_topic="/left/color")["rviz2"]
    topics = node.remappings
    assert set(topics) == set(shown)
    assert topics["/camera/color/image_raw"] == "/left/color"
    assert topics["/refinement/poses"] == "refinement/poses"
    assert node.namespace == "cell"


def test_fast_dds_gets_the_shipped_profile_unless_the_user_has_chosen(launch_file: Any) -> None:
    files = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    given = launch_file.fastdds_environment({"HOME": "/root", files[0]: ""})
    assert set(given) == set(files) and len(set(given.values())) == 1
    assert Path(given[files[0]]).samefile(ROOT / "config/fastdds.xml")
    for name in (*files, "FASTDDS_BUILTIN_TRANSPORTS"):
        assert launch_file.fastdds_environment({name: "chosen"}) == {}


def test_the_profile_is_set_before_the_nodes_start(launch_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*launch_file.FASTDDS_FILES, launch_file.FASTDDS_TRANSPORTS):
        monkeypatch.delenv(name, raising=False)
    assert len(launch_file.middleware(launch_file.LaunchContext())) == 2
    monkeypatch.setenv(launch_file.FASTDDS_FILES[0], "/etc/own.xml")
    assert not launch_file.middleware(launch_file.LaunchContext())
    text = LAUNCH.read_text(encoding="utf-8")
    assert text.index("OpaqueFunction(function=middleware)") < text.index("OpaqueFunction(function=nodes)")
