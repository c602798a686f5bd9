"""Prepares parts for physics and shading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.given_bins import check_room, floor_of
from binpose_simulation.physics import convex_pieces

OnPart = Callable[[int, int, str], None]
"""Called with a part's number from 1 on, the number of parts, and its id."""


@dataclass(frozen=True)
class PreparedPart:
    """A part prepared for physics and shading; it can be pickled for the workers."""

    object_id: str
    mesh: Mesh
    corner_normals: npt.NDArray[np.float32]
    pieces: tuple[Mesh, ...]
    diameter_m: float
    axis: FloatArray


def prepare_parts(
    objects: Mapping[str, ObjectModel], config: ContentConfig, on_part: OnPart | None = None
) -> dict[str, PreparedPart]:
    """Level of detail, smooth normals and convex pieces of every part: seconds per part, the first time.

    Args:
        objects: the parts by id.
        config: levels of detail.
        on_part: called before each part.

    Raises:
        BinposeError: for no objects.
    """
    if not objects:
        raise BinposeError("No objects to simulate; expected at least one part: add it with `binpose add`.")
    prepared = {}
    for number, (object_id, model) in enumerate(objects.items(), start=1):
        if on_part:
            on_part(number, len(objects), object_id)
        prepared[object_id] = _prepared(model, config)
    return prepared


def _prepared(model: ObjectModel, config: ContentConfig) -> PreparedPart:
    part = drawn_part(model, config)
    return replace(part, pieces=tuple(convex_pieces(part.mesh, config.max_pieces)))


def drawn_part(model: ObjectModel, config: ContentConfig) -> PreparedPart:
    """A part for rendering only: without convex pieces, which take seconds."""
    mesh = model.lod(config.max_faces)
    continuous = model.symmetries.continuous
    axis = np.asarray(continuous[0].axis, np.float64) if continuous else longest_axis(mesh)
    return PreparedPart(model.id, mesh, smooth_corner_normals(mesh), (), model.diameter_m, axis)


def longest_axis(mesh: Mesh) -> FloatArray:
    """(3,) the axis of the longest side of the bounding box."""
    return np.eye(3)[np.ptp(mesh.vertices, axis=0).argmax()]


def as_prepared(
    objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
    config: ContentConfig,
    on_part: OnPart | None = None,
) -> Mapping[str, PreparedPart]:
    """The prepared parts; those that are prepared already are returned as they are.

    Raises:
        BinposeError: for no objects, or a given bin that is invalid or too small for them.
    """
    check_bin(objects, config)
    if objects and all(isinstance(part, PreparedPart) for part in objects.values()):
        return objects  # type: ignore[return-value]
    return prepare_parts(objects, config, on_part)  # type: ignore[arg-type]


def check_bin(objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart], config: ContentConfig) -> None:
    """Reject a given bin that is invalid or too small for a part; random bins always fit.

    Raises:
        BinposeError: with the reason.
    """
    given = config.given_bin()
    if given is not None:
        check_room(floor_of(given), objects)
