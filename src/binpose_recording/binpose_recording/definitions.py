"""Definitions of message types, which are stored in a bag so that other programs can read it.

ROS 2's own types come from the `rosbags` library. Others are read from installed ROS packages
(`share/<package>/msg/<Name>.msg` under AMENT_PREFIX_PATH); ROS itself is not needed for that.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore


class Definition(NamedTuple):
    """The text of a definition with all types that it uses, and its hash (REP-2011); both empty if unknown."""

    text: str = ""
    digest: str = ""


class Definitions:
    """Definitions by type name; each package is searched once.

    A type without a known definition gets an empty one: `ros2 bag play` does not need it, readers without ROS do.
    """

    def __init__(self, prefixes: Iterable[Path] | None = None) -> None:
        paths = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        self._prefixes = [Path(path) for path in paths if path] if prefixes is None else list(prefixes)
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._definitions: dict[str, Definition] = {}

    def __call__(self, name: str) -> Definition:
        """The definition of a type such as "vision_msgs/msg/Detection3DArray"."""
        if name not in self._definitions:
            self._definitions[name] = self._find(name)
        return self._definitions[name]

    def _find(self, name: str) -> Definition:
        if name not in self._store.fielddefs:
            self._register_package(name.partition("/")[0], set())
        try:
            return Definition(self._store.generate_msgdef(name, ros_version=2)[0], self._store.hash_rihs01(name))
        except (KeyError, TypesysError):  # the type, or a type that it uses, is not defined
            return Definition()

    def _register_package(self, package: str, seen: set[str]) -> None:
        """Register all messages of a package and of the packages that they use."""
        seen.add(package)
        found = {}
        for prefix in self._prefixes:
            for path in sorted((prefix / "share" / package / "msg").glob("*.msg")):
                with contextlib.suppress(TypesysError, OSError):  # treated like a missing definition
                    found.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{package}/msg/{path.stem}"))
        new = {name: fields for name, fields in found.items() if name not in self._store.fielddefs}
        if not new:
            return
        for other in sorted({used.partition("/")[0] for used in _referred(new.values())} - seen):
            if not any(name.startswith(f"{other}/") for name in self._store.fielddefs):
                self._register_package(other, seen)
        self._store.register(new)


def _referred(definitions: Iterable[object]) -> set[str]:
    """The names of types inside rosbags' parsed definitions, which are nested tuples."""
    names: set[str] = set()
    pending: list[object] = list(definitions)
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            names.update([item] if item.count("/") == 2 else [])
        elif isinstance(item, tuple | list):
            pending.extend(item)
    return names
