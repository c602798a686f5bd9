"""Fields of settings' dataclasses that carry their range, which is checked and shown from the same numbers."""

import math
from dataclasses import field, fields
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
        live: whether it may be changed while a program runs; as the settings say that hold these ones when None.
    """
    return field(default=default, metadata={"bounds": bounds} | ({} if live is None else {"live": live}))


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
