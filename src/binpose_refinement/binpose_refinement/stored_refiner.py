"""Stores the refiner in a model and restores it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from binpose_core.learning.model_store import StoredModel
from binpose_core.learning.stored_parts import without_prefix
from binpose_core.parts.objects import ObjectModel
from binpose_core.rendering.backends import backend_for
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner

if TYPE_CHECKING:
    from binpose_refinement.network import RefinementNetwork

PREFIX = "refinement/"
"""Prefix of the refinement network's tensors."""


def refiner_to_tensors(refiner: IcpRefiner) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Tensors `calibration.*` and `refinement/*`, and entries of the header's config; absent parts are omitted."""
    tensors = refiner.calibration.to_tensors() if refiner.calibration is not None else {}
    config: dict[str, Any] = {"refiner": asdict(refiner.config)}
    if refiner.network is not None:
        from binpose_core.learning.weights import to_arrays

        tensors = {**tensors, **{PREFIX + name: value for name, value in to_arrays(refiner.network).items()}}
        config["refinement_network"] = asdict(refiner.network.config)
    return tensors, config


def stored_refiner(
    stored: StoredModel,
    objects: Mapping[str, ObjectModel],
    changes: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> IcpRefiner:
    """The refiner of a stored model.

    Args:
        stored: the model.
        objects: its objects by id.
        changes: settings that replace the model's own, by their names in `RefinerConfig`.
        device: for rendering: cpu, cuda or cuda:<number>; see `backend_for`.

    Raises:
        BinposeError: for a setting out of its range, for a calibration or a refinement network of other objects, and
            for the method "network" where the model has none.
    """
    own = RefinerConfig(**stored.header["config"].get("refiner", {}))
    calibration = Calibration.from_tensors(stored.tensors)
    config, network = replace(own, **(changes or {})), _stored_network(stored)
    return IcpRefiner(objects, config, calibration, network, backend=backend_for(device))


def _stored_network(stored: StoredModel) -> "RefinementNetwork | None":
    settings = stored.header["config"].get("refinement_network")
    if settings is None:
        return None
    from binpose_core.learning.weights import load_arrays
    from binpose_refinement.network import RefinementNetwork, RefinementNetworkConfig

    network = RefinementNetwork(RefinementNetworkConfig(**settings))
    load_arrays(network, without_prefix(PREFIX, stored.tensors), "refinement network")
    return network.eval()
