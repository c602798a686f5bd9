"""The presets by name."""

from typing import TypeVar

from binpose_core.base.errors import BinposeError
from binpose_estimator.presets.preset import Preset

PresetClass = TypeVar("PresetClass", bound=type[Preset])

_PRESETS: dict[str, type[Preset]] = {}


def register_preset(preset: PresetClass) -> PresetClass:
    """Class decorator: make a preset known by its name.

    Raises:
        BinposeError: if another one has this name.
    """
    if preset.name in _PRESETS:
        raise BinposeError(
            f"The preset {preset.name!r} is registered twice, by {_PRESETS[preset.name].__module__} and "
            f"{preset.__module__}; expected one; rename the second."
        )
    _PRESETS[preset.name] = preset
    return preset


def known_presets() -> list[str]:
    """Names of the registered presets."""
    return sorted(_PRESETS)


def find_preset(name: str) -> type[Preset]:
    """The preset of this name.

    Raises:
        BinposeError: for an unknown name.
    """
    if name not in _PRESETS:
        raise BinposeError(
            f"The pose preset {name!r} is unknown; known: {', '.join(known_presets())}; choose one of these, or import "
            "the module that registers it."
        )
    return _PRESETS[name]
