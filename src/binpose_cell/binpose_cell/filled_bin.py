"""A bin with settled parts, as the physics of the picks and the renderer need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.cell import BinConfig
from binpose_simulation.bins import BinSpec, bin_sides, make_bin_mesh, random_bin
from binpose_simulation.given_bins import bin_of_size, check_room
from binpose_simulation.physics import settle
from binpose_simulation.pile import Pile, packed
from binpose_simulation.placement import BodyType
from binpose_simulation.prepared_parts import PreparedPart

TRAY_SIZE_M = (0.36, 0.26, 0.045)
"""Inside of a tray of 400 x 300 mm, as deep as the Franka hand's fingers are long: its palm stays above the rim."""


@dataclass(frozen=True, eq=False)
class FilledBin:
    """N settled parts in a bin.

    spec: the bin. parts: (N) of them. T_world_obj: (N, 4, 4).
    """

    spec: BinSpec
    parts: tuple[PreparedPart, ...]
    T_world_obj: FloatArray

    @property
    def object_ids(self) -> tuple[str, ...]:
        """(N) their types."""
        return tuple(part.object_id for part in self.parts)

    @cached_property
    def bodies(self) -> tuple[BodyType, ...]:
        """(N) their shapes for the physics; equal types are the same object."""
        shapes = {part.object_id: BodyType.of(part.pieces) for part in self.parts}
        return tuple(shapes[part.object_id] for part in self.parts)

    @cached_property
    def pile(self) -> Pile:
        """Bin and parts for the renderer."""
        return self.pile_with(())

    def pile_with(self, others: Sequence[tuple[PreparedPart, FloatArray]], grow_m: float = 0.0) -> Pile:
        """The pile with more bodies at poses T_world_obj (4, 4), on a table that is larger by `grow_m`."""
        mesh = make_bin_mesh(self.spec)
        box = np.stack([mesh.vertices.min(0), mesh.vertices.max(0)]).astype(np.float64)
        known = list(zip(self.parts, self.T_world_obj, strict=True))
        pile = packed(known, others, mesh, box[None], bin_sides(self.spec))
        return replace(pile, bin_boxes=box[None] + grow_m * np.array([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]))

    def planned_bin(self) -> BinConfig:
        """The bin as the planner describes it: with upright walls, at their place at half height."""
        low, high = self.spec.inner_bounds(self.spec.height_m / 2)
        x_m, y_m = (float(side) for side in high - low)
        return BinConfig(x_m, y_m, self.spec.height_m, self.spec.wall_m)


def fill_bin(
    rng: np.random.Generator,
    parts: Mapping[str, PreparedPart],
    object_ids: Sequence[str],
    size_m: tuple[float, float, float] | None = TRAY_SIZE_M,
    spec: BinSpec | None = None,
) -> FilledBin:
    """Pour parts into a bin and let them settle.

    Args:
        rng: decides bin and poses.
        parts: the part types by id.
        object_ids: type of each part.
        size_m: inner length, width and height of the bin; None draws a bin that the parts fill, too narrow for most
            hands.
        spec: the bin itself, in place of a size.

    Raises:
        BinposeError: for no parts, a part without convex pieces, or a bin that is too small for a part.
    """
    if not object_ids:
        raise BinposeError("No parts for the bin; expected at least one; give a number of parts.")
    chosen = [parts[name] for name in object_ids]
    if spec is None:
        spec = _plain(random_bin(rng, [part.diameter_m for part in chosen], len(chosen)))
        spec = spec if size_m is None else bin_of_size(size_m, spec)
    check_room(spec, {name: parts[name] for name in object_ids})
    settled = settle([part.pieces for part in chosen], spec, rng)
    inside = [(part, T) for part, T, kept in zip(chosen, settled.T_world_obj, settled.kept, strict=True) if kept]
    if not inside:
        raise BinposeError(f"No part of {len(chosen)} came to rest in the bin; expected some; give a larger bin.")
    return FilledBin(spec, tuple(part for part, _ in inside), np.array([T for _, T in inside]))


def moved_pile(pile: Pile, T_world_obj: FloatArray) -> Pile:
    """The pile with its N known parts at other poses (N, 4, 4).

    The number of bodies stays the same, so that all views have the same materials.
    """
    T = np.concatenate([T_world_obj, pile.T_world_obj[len(T_world_obj) :]])
    return replace(pile, T_world_obj=T)


def _plain(spec: BinSpec) -> BinSpec:
    """Without the rim and the low front, which the physics of the picks does not have."""
    return replace(spec, rim_m=0.0, front_height_m=0.0, front_slope_rad=spec.taper_rad)
