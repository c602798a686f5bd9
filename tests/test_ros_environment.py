"""The environment with ROS 2 from the package index: what it is made of, and how it is chosen and made. Without ROS."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools/ros"
# Of the messages of ROS 2 Jazzy: a node refuses to talk to one whose type has another hash.
HASHES = {
    "moveit_msgs/msg/Grasp": "5369669de88fe85f7bca5dc948d70fe6e86fe93c531d590ecbcd9c21385aa593",
    "moveit_msgs/msg/GripperTranslation": "54e14721386de9ac9e09dc6a56dc9e8ae9d5327e99cebaeba443e7f8806d1790",
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "vision_msgs/msg/BoundingBox2D": "008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "vision_msgs/msg/BoundingBox3D": "bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "vision_msgs/msg/Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "vision_msgs/msg/Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "vision_msgs/msg/Detection3D": "ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "vision_msgs/msg/Detection3DArray": "793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "vision_msgs/msg/ObjectHypothesis": "51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "vision_msgs/msg/ObjectHypothesisWithPose": "41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "vision_msgs/msg/Point2D": "eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "vision_msgs/msg/Pose2D": "b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "vision_msgs/msg/VisionInfo": "95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
    "ibpc_interfaces/msg/Camera": "7e976ab025900ed612b2ef024a7741a741784f88f75eb0d12de5d183b2113149",
    "ibpc_interfaces/msg/Photoneo": "e2c56bb0a54e8abb3e3748c01947ff3416664335ca18964614790f3dd54aa8d5",
    "ibpc_interfaces/msg/PoseEstimate": "ffa24d5e4ae5369bf83b1dae900ccf1480674bb5dac571359d3bddcdc26a78ec",
}


@pytest.fixture(scope="module")
def environment() -> Any:
    """The script that makes it, as a module."""
    spec = importlib.util.spec_from_file_location("ros_environment", TOOLS / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(path: Path) -> set[str]:
    """The packages that a requirements file names."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {re.split(r"[=<>; ]", line)[0].lower() for line in lines if line}


def test_the_definitions_have_the_type_hashes_of_the_distribution() -> None:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    types = get_typestore(Stores.EMPTY)
    jazzy = get_typestore(Stores.ROS2_JAZZY)
    own = {f"{p.parents[1].name}/msg/{p.stem}": p.read_text() for p in TOOLS.glob("interfaces/*/msg/*.msg")}
    types.register({name: value for name, value in jazzy.fielddefs.items() if name not in own})
    for name, text in sorted(own.items()):
        types.register(get_types_from_msg(text, name))
    found = {name: types.hash_rihs01(name).removeprefix("RIHS01_") for name in own}
    assert found == HASHES


def test_every_message_package_can_be_built(environment: Any) -> None:
    assert {path.parent for path in TOOLS.glob("interfaces/*/package.xml")} <= set(environment.MESSAGES)
    for source in environment.MESSAGES:
        assert f"project({source.name})" in (source / "CMakeLists.txt").read_text(encoding="utf-8")
        assert f"<name>{source.name}</name>" in (source / "package.xml").read_text(encoding="utf-8")


def test_colcon_does_not_build_what_a_distribution_has() -> None:
    """Else a workspace would have a vision_msgs of its own before the distribution's."""
    assert (ROOT / "tools/COLCON_IGNORE").is_file()


def test_every_version_is_pinned() -> None:
    wanted, pinned = names(TOOLS / "requirements.txt"), names(TOOLS / "constraints.txt")
    assert wanted <= pinned
    lines = (TOOLS / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))


def test_the_environment_is_no_part_of_the_repository() -> None:
    assert ".venv-ros/" in (ROOT / ".gitignore").read_text().split()
    assert ".venv-ros" in (ROOT / ".dockerignore").read_text().split()


def test_make_has_the_targets_that_the_documents_name() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", text, re.MULTILINE))
    described = set(re.findall(r'@echo "make ([\w-]+)', text))
    assert {"ros", "test-ros"} <= targets & described
    documented = (ROOT / "docs/ros.md").read_text(encoding="utf-8")
    assert "make ros" in documented and "make test-ros" in documented


def test_headers_are_those_of_this_python(environment: Any, tmp_path: Path) -> None:
    """Wheels hold the folders of the machine that built them."""
    built = "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include"
    (tmp_path / "share").mkdir()
    (tmp_path / "share/export.cmake").write_text(f'"/opt/python/cp312-cp312/include/python3.12;{built};/opt/other"')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\necho /here/python\necho /here/numpy\n")
    (tmp_path / "bin/python").chmod(0o755)
    environment.relocate(tmp_path)
    assert (tmp_path / "share/export.cmake").read_text() == '"/here/python;/here/numpy;/opt/other"'


def test_a_step_is_done_again_only_when_its_inputs_change_or_it_failed(environment: Any, tmp_path: Path) -> None:
    def begins(inputs: str) -> bool:
        steps.append(environment.Steps(tmp_path, 1))
        return bool(steps[-1].begin("a step", inputs))

    steps: list[Any] = []
    assert begins("one")
    assert begins("one"), "it was interrupted"
    steps[-1].done()
    assert not begins("one")
    assert begins("two")


def test_a_message_that_is_no_longer_defined_is_removed(environment: Any, tmp_path: Path) -> None:
    old = tmp_path / "old.py"
    old.touch()
    (tmp_path / "install_manifest.txt").write_text(f"{old}\n{tmp_path / 'gone.py'}")
    environment.remove_installed(tmp_path / "install_manifest.txt")
    assert not old.exists()


@pytest.mark.parametrize(
    ("missing", "advice"), [("compiler", "build-essential"), ("headers", "python3."), ("version", "PYTHON=python3.12")]
)
def test_what_the_system_lacks_is_named_with_its_package(
    environment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, advice: str
) -> None:
    monkeypatch.setattr(environment.platform, "system", lambda: "Linux")
    monkeypatch.setattr(environment, "VERSIONS", (sys.version_info[:2],) if missing != "version" else ((3, 1),))
    monkeypatch.setattr(environment.shutil, "which", lambda name: None if missing == "compiler" else f"/usr/bin/{name}")
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(tmp_path))
    if missing != "headers":
        (tmp_path / "Python.h").touch()
    with pytest.raises(environment.SetupError, match=advice) as refused:
        environment.check_tools()
    assert "\n" not in str(refused.value)


def run_python(tmp_path: Path, setup: Path, ros: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`tools/ros/python` in a copy of the checkout's layout, whose interpreters print what they are."""
    (tmp_path / "tools/ros").mkdir(parents=True)
    (tmp_path / "config").mkdir(parents=True)
    for name in ("tools/ros/python", "config/fastdds.sh"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    (tmp_path / "tools/ros/python").chmod(0o755)
    interpreter(tmp_path / ".venv", "plain")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [tmp_path / "tools/ros/python", "-m", "something"], capture_output=True, text=True,
        env={**kept, "ROS_SETUP": str(setup), "ROS_VENV": str(ros), **variables},
    )  # fmt: skip


def interpreter(folder: Path, name: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    path = folder / "bin/python"
    path.write_text(f'#!/bin/sh\necho {name} $ROS_DISTRO "$@" $FASTRTPS_DEFAULT_PROFILES_FILE\n')
    path.chmod(0o755)
    return folder


def test_an_installed_ros_goes_first(tmp_path: Path) -> None:
    setup = tmp_path / "setup.bash"
    setup.write_text("export ROS_DISTRO=jazzy\n")
    done = run_python(tmp_path / "checkout", setup, interpreter(tmp_path / "ros", "wheels"))
    assert done.stdout.startswith("plain jazzy -m something"), done.stderr


def test_a_sourced_ros_goes_first(tmp_path: Path) -> None:
    ros = interpreter(tmp_path / "ros", "wheels")
    done = run_python(tmp_path / "checkout", tmp_path / "none", ros, ROS_DISTRO="rolling")
    assert done.stdout.startswith("plain rolling -m something"), done.stderr


def test_without_one_the_environment_is_used_and_without_that_it_says_so(tmp_path: Path) -> None:
    done = run_python(tmp_path / "a", tmp_path / "none", interpreter(tmp_path / "ros", "wheels"))
    assert done.stdout.split() == ["wheels", "-m", "something", str(tmp_path / "a/config/fastdds.xml")]
    done = run_python(tmp_path / "b", tmp_path / "none", tmp_path / "nothing")
    assert done.returncode == 1 and "make ros" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("usable", [True, False])
def test_no_environment_is_made_beside_an_installed_ros(
    environment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, usable: bool
) -> None:
    setup = tmp_path / "setup.bash"
    setup.write_text(f"export PYTHONPATH={tmp_path}\n")
    (tmp_path / "rclpy.py").write_text("" if usable else "raise ImportError('for another Python')")
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(environment, "SETUP", setup)
    if usable:
        environment.main(tmp_path / "ros")
    else:
        with pytest.raises(environment.SetupError, match=r"for another Python.*PYTHON=/usr/bin/python3"):
            environment.main(tmp_path / "ros")
    assert not (tmp_path / "ros").exists()


def test_a_command_that_fails_shows_its_end_and_where_the_rest_is(environment: Any, tmp_path: Path) -> None:
    with pytest.raises(environment.SetupError) as failed:
        environment.call(["sh", "-c", "seq 100; exit 3"], tmp_path, "It failed.")
    lines = str(failed.value).splitlines()
    assert lines[-2] == "100" and len(lines) <= 20
    assert lines[-1] == f"It failed. The end of {tmp_path / 'log.txt'} is above."
    assert (tmp_path / "log.txt").read_text().startswith("1\n2\n")


def test_a_build_of_another_checkout_is_not_continued(environment: Any, tmp_path: Path) -> None:
    build, source = tmp_path / "build", tmp_path / "one/vision_msgs"
    build.mkdir()
    (build / "CMakeCache.txt").write_text(f"A:STRING=b\nCMAKE_HOME_DIRECTORY:INTERNAL={source}\n", encoding="utf-8")
    environment.forget_other_source(build, source)
    assert build.is_dir()
    environment.forget_other_source(build, tmp_path / "other/vision_msgs")
    assert not build.exists()
    environment.forget_other_source(build, source)
