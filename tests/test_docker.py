"""The Dockerfile, the compose file and the documentation name the same commands, files, targets and arguments."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
LAUNCH = ROOT / "launch/bin_picking.launch.py"


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(DOCKER / "compose.yaml")


def launch_arguments() -> set[str]:
    for node in ast.walk(ast.parse(LAUNCH.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
            assert isinstance(node.value, ast.Dict)
            return {ast.literal_eval(key) for key in node.value.keys if key is not None}
    raise AssertionError("no ARGUMENTS in the launch file")


def test_stages_come_from_stages(dockerfile: str) -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)
    names = [name for _, name in stages]
    assert names[0] == "ros" and stages[0][0] == "ros:jazzy-ros-base"
    for number, (base, _) in enumerate(stages[1:], start=1):
        assert base in names[:number]
    assert set(re.findall(r"--from=(\S+)", dockerfile)) <= set(names)
    assert {"cpu", "cuda"} <= set(names)


def test_the_images_are_built_as_the_documentation_says(dockerfile: str) -> None:
    documented = (ROOT / "docs/ros.md").read_text(encoding="utf-8")
    for command in (
        "python3 -m venv --system-site-packages .venv",
        "touch .venv/COLCON_IGNORE",
        "-c constraints.txt -e",
    ):
        assert command in documented and dockerfile.count(command) == 2  # cpu and cuda
    for package in ("ros-jazzy-vision-msgs", "ros-jazzy-rmw-cyclonedds-cpp", "python3-venv"):
        assert package in documented and package in dockerfile


def test_weights_and_what_was_built_elsewhere_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "build", "install", "log", "models", "runs"} <= set(ignored)


def test_compose_builds_a_stage_and_mounts_the_models(compose: Any, dockerfile: str) -> None:
    service = compose["services"]["bin_picking"]
    assert re.search(rf"^FROM \S+ AS {service['build']['target']}$", dockerfile, re.MULTILINE)
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
    assert {entry["network_mode"] for entry in compose["services"].values()} == {"host"}


def mounts(compose: Any) -> dict[str, Any]:
    """What is mounted in the long way of writing, by its place in the container."""
    return {
        entry["target"]: entry for entry in compose["services"]["bin_picking"]["volumes"] if isinstance(entry, dict)
    }


def test_the_folder_of_models_is_the_users_own(compose: Any) -> None:
    """Docker makes a folder that is missing as root: none is missing in a fresh checkout, and none is made."""
    models = mounts(compose)["/models"]
    assert models["type"] == "bind" and models["read_only"] and models["bind"]["create_host_path"] is False
    folder = (DOCKER / models["source"]).resolve()
    assert folder == ROOT / "models" and (folder / ".gitkeep").is_file()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert ignored.index("/models/*") < ignored.index("!/models/.gitkeep")


def test_compiled_kernels_outlive_the_container(compose: Any, dockerfile: str) -> None:
    """In the volume of one name, with `docker compose` and with `docker run`."""
    (cache,) = re.findall(r"NUMBA_CACHE_DIR=(\S+)", dockerfile)
    assert "NUMBA_CACHE_DIR" in re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1]  # the stage of all others
    (volume,) = (entry for entry in compose["services"]["bin_picking"]["volumes"] if str(entry).startswith("kernels:"))
    place = volume.partition(":")[2]
    assert Path(place) in Path(cache).parents
    name = compose["volumes"]["kernels"]["name"]
    assert f"-v {name}:{place} " in (ROOT / "docs/ros.md").read_text(encoding="utf-8")


def test_commands_have_arguments_that_the_launch_file_knows(compose: Any, dockerfile: str) -> None:
    commands = [entry["command"] for entry in compose["services"].values()]
    commands += [" ".join(ast.literal_eval(line)) for line in re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)]
    own = [shlex.split(command) for command in commands if " binpose " in command]
    assert len(own) == 3
    for words in own:
        assert words[:4] == ["ros2", "launch", "binpose", "bin_picking.launch.py"]
        assert {word.partition(":=")[0] for word in words[4:]} <= launch_arguments()


def test_the_entry_point_can_be_run(dockerfile: str) -> None:
    entries = re.findall(r'^ENTRYPOINT \["/binpose/(\S+)"\]$', dockerfile, re.MULTILINE)
    assert len(entries) == 2
    for entry in entries:
        assert (ROOT / entry).stat().st_mode & 0o111


def test_the_nodes_are_ended_before_the_container(dockerfile: str, compose: Any) -> None:
    first, *_ = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    assert "STOPSIGNAL SIGINT" in first  # the stage that all others come from
    patience = re.search(r'^PATIENCE_S = "(\d+)"$', LAUNCH.read_text(encoding="utf-8"), re.MULTILINE)
    assert patience is not None
    assert int(compose["services"]["bin_picking"]["stop_grace_period"].removesuffix("s")) > int(patience.group(1))
