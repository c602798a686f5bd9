"""Parameters that were given to a node which does not have them, as by a misspelled name."""

import difflib
import itertools
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from binpose_core.base.reasons import Reason
from binpose_ros.problems import Problem

ALIKE = 0.85  # of difflib's ratio: a slip of the keyboard
QOS = "qos_overrides."  # declared with the publishers and subscriptions, by rclpy


def unknown_parameters(given: Collection[str], known: Collection[str], shared: Collection[str] = ()) -> list[Problem]:
    """The given parameters that a node does not have.

    Args:
        given: names of all parameters that were given.
        known: names of the node's parameters.
        shared: of those given, the ones that were given to several nodes at once, and may be another node's; they
            count only when they look like a misspelled name of this one.
    """
    names = sorted(name for name in given if name not in known and not name.startswith(QOS))
    return [_problem(name, known) for name in names if name not in shared or _nearest(name, known, ALIKE)]


def _problem(name: str, known: Collection[str]) -> Problem:
    nearest = _nearest(name, known, 0.0)
    return Problem(
        Reason.UNKNOWN_PARAMETER,
        f"Parameter {name!r} was given, which this node does not have, and is ignored; did you mean {nearest!r}? "
        "`ros2 param list` shows all.",
        name,
    )


def _nearest(name: str, known: Collection[str], cutoff: float) -> str:
    own = [other for other in known if not other.startswith(QOS)]
    return next(iter(difflib.get_close_matches(name, own, 1, cutoff)), "")


def shared_parameters(arguments: Sequence[str] | None = None) -> set[str]:
    """The names in sections for several nodes, such as `/**`, of the parameter files that a process was started with.

    Args:
        arguments: of the process; by default its own.
    """
    arguments = sys.argv if arguments is None else arguments
    files = [Path(value) for flag, value in itertools.pairwise(arguments) if flag == "--params-file"]
    return {name for path in files for name in _shared_in(path)}


def _shared_in(path: Path) -> Iterator[str]:
    try:
        content = YAML(typ="safe").load(path)
    except (OSError, YAMLError):  # rcl has refused the file, or the node was given other ones.
        return
    for section, inner in content.items() if isinstance(content, Mapping) else ():
        yield from _names(inner, "*" in str(section))


def _names(inner: Any, is_shared: bool) -> Iterator[str]:
    """The parameters below a section; a namespace holds sections of nodes."""
    if not isinstance(inner, Mapping):
        return
    for key, value in inner.items():
        if key == "ros__parameters" and is_shared:
            yield from _flat(value)
        elif key != "ros__parameters":
            yield from _names(value, is_shared or "*" in str(key))


def _flat(values: Any, prefix: str = "") -> Iterator[str]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
