"""The ten parts by name."""

from collections.abc import Callable
from functools import cache

from manifold3d import Manifold

from binpose_core.base.errors import UnknownObject
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.parts import formed_parts, turned_parts
from binpose_simulation.parts.solids import to_mesh

_MAKERS: dict[str, Callable[[], Manifold]] = {
    "hex_bolt": turned_parts.hex_bolt,
    "t_pipe": formed_parts.t_pipe,
    "spur_gear": turned_parts.spur_gear,
    "l_bracket": formed_parts.l_bracket,
    "v_pulley": turned_parts.v_pulley,
    "connector": formed_parts.connector,
    "bow_handle": formed_parts.bow_handle,
    "hinge_leaf": formed_parts.hinge_leaf,
    "stepped_shaft": turned_parts.stepped_shaft,
    "pillow_block": formed_parts.pillow_block,
}

PART_NAMES: tuple[str, ...] = tuple(_MAKERS)


@cache
def make_part(name: str) -> Mesh:
    """One part of the library in metres, its bounding box centred at the origin; watertight and deterministic.

    Raises:
        BinposeError: the name is not in `PART_NAMES`.
    """
    if name not in _MAKERS:
        raise UnknownObject(
            f"No part {name!r} in the library; known: {', '.join(PART_NAMES)}. Choose one of these.", [name], PART_NAMES
        )
    return to_mesh(_MAKERS[name]())
