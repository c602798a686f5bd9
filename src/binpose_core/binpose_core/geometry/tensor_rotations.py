"""Rotations as tensors, for what is optimised."""

import torch


def exp_so3(vectors: torch.Tensor) -> torch.Tensor:
    """Rotations (B, 3, 3) of rotation vectors (B, 3), differentiable at zero too."""
    x, y, z = vectors.T
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    return torch.linalg.matrix_exp(skew)
