"""Settings as dataclasses: ranges that are checked and shown from the same numbers, descriptions read from one place.


A field's description stands in the docstring of its class, in a line that begins with "name: " and those that are
indented below it. "one, other: text" describes both. A further field may follow in the same line after a full stop.
Help texts, comments of YAML files and ROS parameters all take it from `descriptions`.
"""

import inspect
import math
import re
from dataclasses import field, fields, is_dataclass
from typing import Any

from binpose_core.base.errors import BinposeError

Bounds = tuple[float, float]
FRACTION: Bounds = (0.0, 1.0)
NOT_NEGATIVE: Bounds = (0.0, math.inf)


def setting(default: Any, *, bounds: Bounds | None = None, live: bool | None = None) -> Any:
    """A dataclass field that knows its range.

    Args:
        default: its value, which must not be mutable.
        bounds: lowest and highest value that `check_bounds` lets pass.
        live: whether it may be changed while a program runs; None leaves that to the settings that hold these ones.
    """
    return field(default=default, metadata={"bounds": bounds} | ({} if live is None else {"live": live}))


def about(subject: str) -> dict[str, str]:
    """Metadata of a field that holds settings: of what they are, for descriptions of settings that occur repeatedly."""
    return {"about": subject}


def check_bounds(settings: Any) -> None:
    """Refuse numbers out of the ranges that their fields have; to be called in `__post_init__`.

    Raises:
        BinposeError: naming the class, the field, its value and the range.
    """
    for entry in fields(settings):
        bounds, value = entry.metadata.get("bounds"), getattr(settings, entry.name)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            low, high = bounds
            raise BinposeError(f"{type(settings).__name__}.{entry.name} is {value}; expected {low:g} to {high:g}.")


def descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say of each field; none of what they say of anything else."""
    found: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if is_dataclass(base)]):
        found |= _described(base, {entry.name for entry in fields(base)})[0]
    return found


def summary(kind: type) -> str:
    """The docstring of a dataclass without the lines that describe fields."""
    return _described(kind, {entry.name for entry in fields(kind)})[1]


def _described(kind: type, names: set[str]) -> tuple[dict[str, str], str]:
    """Descriptions by field, and the rest of the docstring."""
    found: dict[str, str] = {}
    rest: list[str] = []
    current: list[str] = []
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        begins = _beginning(line, names)
        if begins is not None:
            current = begins
            found |= dict.fromkeys(current, line.partition(": ")[2].strip())
        elif current and line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}" for name in current}
        else:
            current = []
            rest.append(line)
    for first in list(found):
        _split(found, [first], names)
    return found, re.sub(r"\n{3,}", "\n\n", "\n".join(rest)).strip()


def _beginning(line: str, names: set[str]) -> list[str] | None:
    """The fields that a line begins to describe."""
    begins = re.match(r"(\w+(?:, \w+)*): ", line + " ")
    described = begins[1].split(", ") if begins else []
    return described if described and names.issuperset(described) else None


def _split(found: dict[str, str], described: list[str], names: set[str]) -> None:
    """Give fields that are described after a full stop in another one's text their own descriptions."""
    for begins in re.finditer(r"(?<=\. )(\w+(?:, \w+)*): ", found[described[0]]):
        others = begins[1].split(", ")
        if names.issuperset(others):
            text, whole = found[described[0]][begins.end() :], found[described[0]]
            found |= dict.fromkeys(described, whole[: begins.start()].strip())
            found.update(dict.fromkeys(others, text))
            return _split(found, others, names)
    return None
