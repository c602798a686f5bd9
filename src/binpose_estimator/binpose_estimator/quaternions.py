"""Rotations of quaternions as networks predict them, in torch."""

import torch
from torch import nn

IDENTITY = (0.0, 0.0, 0.0, 1.0)


def rotation_from_quaternions(quat_xyzw: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) of quaternions (..., 4) in x, y, z, w order, of any length above 0."""
    x, y, z, w = nn.functional.normalize(quat_xyzw, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def full_precision_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product of small matrices (..., n, 3) and (..., 3, m), in float32 also under autocast."""
    return (a[..., :, :, None].float() * b[..., None, :, :].float()).sum(-2)


def near_identity(quat_xyzw: torch.Tensor) -> torch.Tensor:
    """The quaternions plus that of the identity, where a regression of deviations begins."""
    return quat_xyzw + quat_xyzw.new_tensor(IDENTITY)
