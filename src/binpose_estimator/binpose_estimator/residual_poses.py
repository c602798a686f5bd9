"""The iterative refinement network of DenseFusion (Wang et al., 2019; Mu et al., 2023, eq. 5)."""

import torch
from torch import nn

from binpose_estimator.conditioning import Conditioning
from binpose_estimator.point_fusion import GLOBAL, PointFusion
from binpose_estimator.quaternions import full_precision_product, near_identity, rotation_from_quaternions
from binpose_estimator.regressor import linear_layers


class ResidualPoses(nn.Module):
    """Points in the frame of the current pose, with the estimator's colour features -> residual poses, K times.

    [R_K | t_K] = [R_0 | t_0] d[R_1 | t_1] ... d[R_K | t_K] (Mu et al., eq. 5). All steps have the same weights. An
    untrained network keeps the pose.
    """

    def __init__(self, width: int, classes: int, steps: int, conditioning: Conditioning, attention: bool) -> None:
        super().__init__()
        self.steps = steps
        self.fusion = PointFusion(width, classes, conditioning, attention)
        channels = GLOBAL * width, 16 * width, 4 * width
        self.rotation, self.center = linear_layers(*channels, 4), linear_layers(*channels, 3)
        for branch in (self.rotation, self.center):
            last = branch[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self,
        rotation: torch.Tensor,
        center: torch.Tensor,
        points: torch.Tensor,
        colors: torch.Tensor,
        classes: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotations (B, K, 3, 3) and centres (B, K, 3) after each step; gradients end at the step before.

        Args:
            rotation: (B, 3, 3) of the pose to begin with.
            center: (B, 3) of it.
            points: (B, N, 3) from the crop's centre.
            colors: (B, N, 2 w) features.
            classes: (B,).
        """
        found = []
        for _ in range(self.steps):
            rotation, center = rotation.detach(), center.detach()
            local = full_precision_product(points.float() - center[:, None], rotation)
            _, whole = self.fusion(local, colors.detach(), classes)
            turn = rotation_from_quaternions(near_identity(self.rotation(whole).float()))
            move = self.center(whole).float()
            center = center + full_precision_product(rotation, move[..., None])[..., 0]
            rotation = full_precision_product(rotation, turn)
            found.append((rotation, center))
        rotations, centers = zip(*found, strict=True)
        return torch.stack(rotations, 1), torch.stack(centers, 1)
