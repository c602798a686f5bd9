"""The refiner of a stored model."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from binpose_core.model_store import StoredModel
from binpose_core.objects import ObjectModel
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner


def stored_refiner(
    stored: StoredModel, objects: Mapping[str, ObjectModel], changes: Mapping[str, Any] | None = None
) -> IcpRefiner:
    """The refiner that a model was saved with.

    Args:
        stored: the model.
        objects: its objects by id.
        changes: settings that replace the model's own, by their names in `RefinerConfig`.

    Raises:
        BinposeError: for a setting out of its range, or a calibration of other objects.
    """
    own = RefinerConfig(**stored.header["config"].get("refiner", {}))
    return IcpRefiner(objects, replace(own, **(changes or {})), Calibration.from_tensors(stored.tensors))


def changes_of(settings: RefinerConfig) -> dict[str, Any]:
    """The settings that are not the defaults, by name."""
    default = RefinerConfig()
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}
    return {name: value for name, value in values.items() if value != getattr(default, name)}
