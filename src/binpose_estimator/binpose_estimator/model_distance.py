"""How far two poses move the points of a part apart: ADD, ADD-S and the ShapeMatch loss, in diameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.losses import EquivalentPoses, PartTables, part_tables

SymmetricDistance = Literal["equivalent", "nearest"]


def check_symmetric_distance(name: str) -> None:
    """Raises BinposeError for a distance of symmetric parts that is none of `SymmetricDistance`."""
    if name not in ("equivalent", "nearest"):
        raise BinposeError(f"symmetric_distance is {name!r}; expected equivalent or nearest; choose one.")


@dataclass(frozen=True)
class SurfaceTables:
    """Of C parts: their symmetries, M points (C, M, 3) in diameters about the centre, and which are symmetric (C,)."""

    parts: PartTables
    points: torch.Tensor
    symmetric: torch.Tensor


def surface_tables(parts: Sequence[ObjectModel], number: int) -> SurfaceTables:
    """Tables of the parts in class order, with `number` points of each."""
    tables = part_tables(parts)
    points = [(part.points[:number] - part.center_m) / part.diameter_m for part in parts]
    points = [np.resize(p, (number, 3)) for p in points]  # of a mesh with fewer samples some occur twice
    return SurfaceTables(tables, torch.from_numpy(np.array(points, np.float32)), tables.valid.sum(1) > 1)


def model_distance(
    rotation: torch.Tensor,
    center: torch.Tensor,
    truth: EquivalentPoses,
    points: torch.Tensor,
    symmetric: torch.Tensor,
    kind: SymmetricDistance = "equivalent",
) -> torch.Tensor:
    """(B, K) mean distance of surface points under K predicted poses and the true one, in diameters.

    ADD for parts without symmetries (Chen et al., 2022, eq. 7). For symmetric ones that to the nearest of the
    equivalent poses, which is exactly 0 at each of them; or ADD-S, each point to its nearest (eq. 6), which is 0 at
    the others up to the density of the points, costs M times as much and is too low for coarse points.

    Args:
        rotation: (B, K, 3, 3).
        center: (B, K, 3).
        truth: of the B crops.
        points: (B, M, 3) of their parts.
        symmetric: (B,) bool.
        kind: the distance for symmetric parts.
    """
    poses = torch.cat([rotation, center[..., None]], -1)
    true_poses = torch.cat([truth.rotation, truth.center[..., None]], -1)
    if kind == "equivalent":
        which = nearest_equivalent(poses, true_poses, truth.valid, points)
        return _add(poses, _chosen(true_poses, which), points)
    return torch.where(
        symmetric[:, None], _add_s(poses, true_poses[:, 0], points), _add(poses, true_poses[:, :1], points)
    )


@torch.no_grad()
def nearest_equivalent(
    poses: torch.Tensor, true_poses: torch.Tensor, valid: torch.Tensor, points: torch.Tensor
) -> torch.Tensor:
    """(B, K) the true pose of S that moves the points least from where each of K poses has them, in mean square.

    The mean square is |P Q^1/2 - P' Q^1/2|^2 with the second moment Q (4, 4) of the points: no point is moved for it.

    Args:
        poses: (B, K, 3, 4).
        true_poses: (B, S, 3, 4).
        valid: (B, S) bool.
        points: (B, M, 3).
    """
    homogeneous = _homogeneous(points)
    moment = homogeneous.transpose(1, 2) @ homogeneous / points.shape[1]
    weighted = true_poses @ moment[:, None]
    square = (true_poses * weighted).sum((-1, -2))
    mixed = poses.flatten(2) @ weighted.flatten(2).transpose(1, 2)
    return (square[:, None] - 2.0 * mixed).masked_fill(~valid[:, None], torch.inf).argmin(-1)


def _chosen(true_poses: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """(B, S, 3, 4) at (B, K) -> (B, K, 3, 4)."""
    return true_poses.gather(1, which[..., None, None].expand(-1, -1, 3, 4))


def _add(poses: torch.Tensor, true_poses: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    moved = (poses - true_poses) @ _homogeneous(points).transpose(1, 2)[:, None]
    return torch.linalg.vector_norm(moved, dim=-2).mean(-1)


def _add_s(poses: torch.Tensor, true_pose: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Each point under the true pose (B, 3, 4) to the nearest one under each of K poses (Chen et al., eq. 6)."""
    homogeneous = _homogeneous(points).transpose(1, 2)
    target = (true_pose @ homogeneous).transpose(1, 2)[:, None]
    moved = (poses @ homogeneous[:, None]).transpose(2, 3)
    with torch.no_grad():
        nearest = torch.cdist(target.expand(-1, moved.shape[1], -1, -1), moved).argmin(-1)
    closest = moved.gather(2, nearest[..., None].expand(-1, -1, -1, 3))
    return torch.linalg.vector_norm(target - closest, dim=-1).mean(-1)


def _homogeneous(points: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(points, (0, 1), value=1.0)
