"""The built wheel, installed without the checkout, holds everything and imports."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.name for path in (ROOT / "src").iterdir() if (path / "setup.py").is_file())

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
target, *packages = sys.argv[1:]
for package in packages:
    module = importlib.import_module(package)
    assert module.__file__.startswith(target), f"{package} comes from {module.__file__}"
    for info in pkgutil.walk_packages(module.__path__, package + "."):
        if info.name.rpartition(".")[2] not in ("node", "__main__"):
            try:
                importlib.import_module(info.name)
            except ModuleNotFoundError as error:
                # The extra `gpu` is not installed here, and nothing but its own backend may need it; ROS may be
                # missing, and nothing but what nodes share may need that.
                if package == "binpose_ros" and not error.name.startswith("binpose"):
                    continue
                assert (info.name, error.name) == ("binpose_core.rendering.warp_raycaster", "warp"), error
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources: setuptools would leave its build folder in the checkout, and reuse it."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for path in [*ROOT.glob("*.toml"), *ROOT.glob("*.md"), ROOT / "LICENSE"]:
        shutil.copy(path, copy)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", out, ".", cwd=copy)
    (built,) = out.glob("binpose-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--target", target, wheel, cwd=target)
    return target


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT / "src" / package))
        for package in PACKAGES
        for path in (ROOT / "src" / package / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in names if ".dist-info/" not in name}
    assert expected - held == set(), "package data that pyproject.toml does not name"
    assert held - expected == set()
    assert any(name.endswith("LICENSE") for name in names)


def test_everything_imports_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    run(sys.executable, "-c", IMPORT_EVERYTHING, installed, *PACKAGES, cwd=tmp_path, PYTHONPATH=str(installed))


def test_the_installed_command_shows_an_example(installed: Path, tmp_path: Path) -> None:
    help_text = run(installed / "bin" / "binpose", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "binpose train" in help_text
