"""The launch file, read with ROS' launch library or, where it is not installed, with a stand-in for it."""

import configparser
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch/bin_picking.launch.py"
INSTALLED = importlib.util.find_spec("launch_ros") is not None


@dataclass(frozen=True)
class StartedNode:
    """A node that the launch file starts.

    parameters: without files; files: YAML files with further ones. arguments: of the command line.
    """

    package: str
    executable: str
    namespace: str
    parameters: dict[str, Any]
    files: tuple[str, ...]
    remappings: dict[str, str]
    arguments: tuple[str, ...]
    on_exit: Any


def load_launch_file() -> Any:
    """The launch file as a module."""
    if not INSTALLED:
        import launch_stand_in

        launch_stand_in.install()
    spec = importlib.util.spec_from_file_location("bin_picking_launch", LAUNCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(launch_file: Any, **arguments: str) -> dict[str, StartedNode]:
    """The nodes by their executables."""
    context = launch_file.LaunchContext()
    defaults = {name: default for name, (default, _) in launch_file.ARGUMENTS.items()}
    context.launch_configurations.update(defaults | arguments)
    read = _of_library if INSTALLED else _of_stand_in
    return {node.executable: node for node in map(read, launch_file.nodes(context))}


def _of_stand_in(node: Any) -> StartedNode:
    given = [entry for entry in getattr(node, "parameters", ()) if isinstance(entry, dict)]
    return StartedNode(
        node.package,
        node.executable,
        node.namespace,
        {name: value for entry in given for name, value in entry.items()},
        tuple(entry for entry in getattr(node, "parameters", ()) if isinstance(entry, str)),
        dict(node.remappings),
        tuple(word for word in node.arguments if isinstance(word, str)),
        getattr(node, "on_exit", None),
    )


def _of_library(node: Any) -> StartedNode:
    from launch.utilities import perform_substitutions
    from launch_ros.utilities import evaluate_parameters

    from launch import LaunchContext

    context = LaunchContext()
    given = evaluate_parameters(context, node._Node__parameters)
    return StartedNode(
        node.node_package,
        node.node_executable,
        node._Node__node_namespace,
        {name: value for entry in given if isinstance(entry, dict) for name, value in entry.items()},
        tuple(str(entry) for entry in given if not isinstance(entry, dict)),
        {
            perform_substitutions(context, source): perform_substitutions(context, target)
            for source, target in node._Node__remappings
        },
        tuple(getattr(node, "_Node__arguments", None) or ()),
        node._ExecuteLocal__on_exit,
    )


def console_scripts(package: str) -> dict[str, str]:
    """The executables that a package installs, with their modules."""
    config = configparser.ConfigParser()
    config.read(ROOT / "src" / package / "setup.cfg")
    scripts = config.get("options.entry_points", "console_scripts", fallback="")
    lines = (line.partition("=") for line in scripts.strip().splitlines())
    return {name.strip(): target.strip() for name, _, target in lines}
