"""What colcon makes of the workspace; building is skipped where colcon is not installed."""

import graphlib
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.name for path in (ROOT / "src").iterdir() if path.is_dir())
DEPENDENCIES = ("depend", "build_depend", "exec_depend", "buildtool_depend")


def test_the_manifests_have_no_cycle() -> None:
    graph = {name: _dependencies(name) & set(PACKAGES) for name in PACKAGES}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert sorted(order) == PACKAGES
    assert order[-1] == "binpose", "nothing may depend on the application"


def _dependencies(package: str) -> set[str]:
    root = ElementTree.parse(ROOT / "src" / package / "package.xml").getroot()
    return {element.text or "" for element in root.iter() if element.tag in DEPENDENCIES}


@pytest.mark.parametrize("options", [[], ["--symlink-install"]], ids=["copied", "linked"])
def test_launch_and_config_are_installed(options: list[str], tmp_path: Path) -> None:
    """They lie at the top level of the repository, outside the package that installs them."""
    if shutil.which("colcon") is None:
        pytest.skip("colcon is not installed")
    shutil.copytree(ROOT / "src/binpose", tmp_path / "src/binpose", symlinks=True)
    for folder in ("launch", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    command = ["colcon", "build", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    share = tmp_path / "install/binpose/share/binpose"
    for path in [*(ROOT / "launch").glob("*.launch.py"), *(ROOT / "config").iterdir()]:
        installed = share / path.relative_to(ROOT)
        assert installed.is_file(), f"{installed} is missing"
        assert installed.read_bytes() == path.read_bytes()
