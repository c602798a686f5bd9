"""Inaccurate pose labels from depth alone: the iterative annotation resolver (Mu et al., 2023).

From a predicted pose, the part's points are aligned to the observed ones in a few iterations. Each pairs nearest points
and solves the rigid motion of the pairs in closed form. The result is no exact label, but it costs no rendering.
"""

import torch


def resolve_poses(
    rotation: torch.Tensor,
    center: torch.Tensor,
    model: torch.Tensor,
    observed: torch.Tensor,
    valid: torch.Tensor,
    iterations: int = 20,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses nearer to the observed points, without gradient.

    Args:
        rotation: (B, 3, 3) predicted.
        center: (B, 3) predicted, of the part's centre.
        model: (B, N, 3) surface points from the part's centre.
        observed: (B, M, 3) in the frame of the poses.
        valid: (B, M) bool, which of them are on the part. Crops with fewer than three keep their pose.
        iterations: pairings and alignments.

    Returns:
        Rotations (B, 3, 3) and centres (B, 3).
    """
    with torch.no_grad():
        weight = valid.to(observed.dtype)[..., None]
        enough = weight.sum((1, 2)) >= 3
        total = weight.sum(1, keepdim=True).clamp(min=1.0)
        target_middle = (weight * observed).sum(1, keepdim=True) / total
        for _ in range(iterations):
            placed = model @ rotation.transpose(1, 2) + center[:, None]
            nearest = torch.cdist(observed, placed).argmin(-1)
            source = torch.gather(model, 1, nearest[..., None].expand(-1, -1, 3))
            middle = (weight * source).sum(1, keepdim=True) / total
            covariance = (weight * (observed - target_middle)).transpose(1, 2) @ (source - middle)
            turned = _nearest_rotation(covariance)
            moved = (target_middle - middle @ turned.transpose(1, 2))[:, 0]
            rotation = torch.where(enough[:, None, None], turned, rotation)
            center = torch.where(enough[:, None], moved, center)
    return rotation, center


def _nearest_rotation(matrix: torch.Tensor) -> torch.Tensor:
    """Rotations (B, 3, 3) with the largest trace of R^T M (Kabsch, 1976)."""
    U, _, Vt = torch.linalg.svd(matrix)
    sign = torch.sign(torch.linalg.det(U) * torch.linalg.det(Vt))
    U = torch.cat([U[..., :2], U[..., 2:] * sign[:, None, None]], -1)
    return U @ Vt
