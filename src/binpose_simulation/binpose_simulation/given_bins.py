"""Bins that a user defines by size or by mesh, instead of random ones."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_core.meshes.mesh_files import load_mesh
from binpose_simulation.bins import BinSpec
from binpose_simulation.mesh_bins import MeshBin, bin_from_mesh


class Part(Protocol):
    """The properties of a part that a bin must have room for."""

    @property
    def mesh(self) -> Mesh:
        """The surface in metres."""


def bin_of_size(size_m: tuple[float, float, float], like: BinSpec | None = None) -> BinSpec:
    """A bin of this inner length, width (of the floor) and height, with wall, slope and rim of another bin.

    Raises:
        BinposeError: for a size outside the limits of bins.
    """
    like = like or BinSpec()
    try:
        length, width, height = size_m
        changes = {"length_m": length, "width_m": width, "height_m": height}
        return replace(like, **changes, front_slope_rad=like.taper_rad, front_height_m=0.0)
    except (BinposeError, ValueError, TypeError) as error:
        raise BinposeError(
            f"The bin size {size_m} cannot be used ({error}); expected inner length, width and height in metres; check "
            "the numbers and their unit."
        ) from error


def bin_of_mesh(path: str, unit: str) -> MeshBin:
    """The bin in a mesh file, read once (seconds).

    Raises:
        BinposeError: for a file that cannot be read or does not contain an open box.
    """
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError:
        changed = 0  # `_read` raises the error
    return _read(path, unit, changed)


@functools.lru_cache(maxsize=2)
def _read(path: str, unit: str, changed: int) -> MeshBin:
    mesh = load_mesh(path, unit, allow_odd_size=True)
    size = np.ptp(mesh.vertices, axis=0)
    if not 0.02 <= float(size.max()) <= 4.0:
        raise BinposeError(
            f"The bin mesh {path} in {unit} is {float(size.max()):.4g} m long; expected 0.02 to 4 m; give its unit."
        )
    try:
        return bin_from_mesh(mesh)
    except BinposeError as error:
        raise BinposeError(f"The bin mesh {path} cannot be used: {error}") from error


def check_room(floor: BinSpec, parts: Mapping[str, Part]) -> None:
    """Reject a bin whose floor is too small for a part to lie flat along the walls.

    Raises:
        BinposeError: with the part and both sizes.
    """
    short, long = sorted((floor.length_m, floor.width_m))
    for name, part in parts.items():
        thin, wide, length = np.sort(np.ptp(part.mesh.vertices.astype(np.float64), axis=0))
        if wide > short or length > long:
            raise BinposeError(
                f"The bin's floor of {1e3 * long:.0f} x {1e3 * short:.0f} mm is too small for the part {name!r} of "
                f"{1e3 * length:.0f} x {1e3 * wide:.0f} x {1e3 * thin:.0f} mm; expected room for it to lie flat; give "
                "a larger bin, check its unit, or leave the part out."
            )


def capacity(floor: BinSpec, diameters_m: list[float]) -> int:
    """How many parts of these diameters fill the bin to the rim, at least one.

    The inverse of the rule of `bins.random_bin`: a randomly oriented part covers a third of its diameter squared.
    """
    layers = max((floor.height_m / (0.9 * float(np.mean(diameters_m))) - 0.45) / 0.35, 1.0)
    area_m2 = floor.length_m * floor.width_m
    return max(int(layers * area_m2 / (0.33 * float(np.mean(np.square(diameters_m))))), 1)


def floor_of(shape: BinSpec | MeshBin) -> BinSpec:
    """The dimensions of a bin."""
    return shape.spec if isinstance(shape, MeshBin) else shape
