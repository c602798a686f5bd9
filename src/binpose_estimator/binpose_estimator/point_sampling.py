"""The same number of points from every crop, whatever its mask: shapes do not depend on the data."""

import torch

# The plastic number's powers: multiples of them fill the unit square evenly (Roberts, 2018).
STEP_X, STEP_Y = 0.7548776662466927, 0.5698402909980532


def pixel_order(size_px: int) -> torch.Tensor:
    """(size_px ** 2,) float32 in [0, 1): pixels above any threshold are spread evenly over the image."""
    steps = torch.arange(size_px, dtype=torch.float64)
    return ((steps[:, None] * STEP_Y + steps * STEP_X) % 1.0).flatten().float()


def sample_pixels(usable: torch.Tensor, order: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Usable pixels, spread evenly, always the same ones; they repeat where there are fewer.

    Args:
        usable: (B, P) bool.
        order: (P,) as `pixel_order` gives it.
        number: at most P.

    Returns:
        Indices (B, number) int64, and whether any pixel is usable (B,). Where none is, they are of any pixels.
    """
    ranked = (usable.float() + order).topk(number, dim=1).indices
    count = usable.sum(1, keepdim=True).clamp(1, number)
    position = torch.arange(number, device=usable.device) % count
    return ranked.gather(1, position), usable.any(1)
