"""The refinement network of Mu et al.: residual poses from the point cloud in the object frame of the current pose."""

from dataclasses import dataclass

import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.tensor_rotations import exp_so3
from binpose_estimator.attention import PointWeights

SURFACE_POINTS = 512
PART_ROWS, SURFACES = "part.weight", "surfaces"
"""Names of the tensors with a row for each part, and of the buffers with the parts' own data."""
OFFSET_SCALE = 10.0  # offsets are about a tenth of the diameter


@dataclass(frozen=True)
class RefinementNetworkConfig:
    """objects: ids of the parts that the network is conditioned on.

    points: number of points per detection. steps: K of Mu et al., eq. 5. width: of the point features.
    attention: weights for each point on both branches (Mu et al., eqs. 1 and 2); without it this is DenseFusion's.
    """

    objects: tuple[str, ...]
    points: int = setting(192, bounds=(8, 4096))
    steps: int = setting(2, bounds=(1, 10))
    width: int = setting(64, bounds=(8, 1024))
    attention: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(self.objects))
        if not self.objects or len(set(self.objects)) < len(self.objects):
            raise BinposeError(
                f"RefinementNetworkConfig.objects is {self.objects}; expected different ids, at least one."
            )
        check_bounds(self)


class RefinementNetwork(nn.Module):
    """Maps points (B, N, 3) in diameters about the part's centre, chroma (B, N, 2), class (B,) to a residual pose.

    Beyond Mu et al., each point has its offset to the nearest surface point of the part, and the torque of that offset
    about the centre. These are the residuals of ICP; a few hundred training steps suffice to weight them.

    Args:
        config: architecture.
        surfaces: (P, M, 3) points of the parts, in diameters about their centres; stored with the weights.

    Returns rotation (B, 3), a rotation vector in rad, and shift (B, 3) in diameters, both in the part's frame; zero at
    the start of the training.
    """

    surfaces: torch.Tensor

    def __init__(self, config: RefinementNetworkConfig, surfaces: torch.Tensor | None = None) -> None:
        super().__init__()
        self.config, width = config, config.width
        shape = len(config.objects), SURFACE_POINTS, 3
        surfaces = torch.zeros(shape) if surfaces is None else surfaces
        assert surfaces.shape == shape
        self.register_buffer("surfaces", surfaces)
        self.geometry = _mlp(9, width, 2 * width)
        self.color = _mlp(2, width // 2, width)
        weigh = PointWeights if config.attention else nn.Identity
        self.weigh_geometry, self.weigh_color = weigh(), weigh()
        self.part = nn.Embedding(len(config.objects), width)
        self.fused = _mlp(4 * width, 4 * width, 4 * width)
        self.head = nn.Sequential(nn.Linear(9 * width + 6, 4 * width), nn.ReLU(), nn.Linear(4 * width, 6))
        self.skip = nn.Linear(6, 6, bias=False)
        nn.init.zeros_(self.skip.weight)
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, points: torch.Tensor, chroma: torch.Tensor, classes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        batch, number = points.shape[:2]
        assert points.shape == (batch, number, 3) and chroma.shape == (batch, number, 2)
        part = self.part(classes)
        offsets = self._offsets(points, classes)
        torques = torch.linalg.cross(points, offsets)
        geometry = torch.cat([points, OFFSET_SCALE * offsets, OFFSET_SCALE * torques], -1)
        branches = self.weigh_geometry(self.geometry(geometry)), self.weigh_color(self.color(chroma))
        features = self.fused(torch.cat([*branches, part[:, None].expand(-1, number, -1)], -1))
        pull = OFFSET_SCALE * torch.cat([offsets, torques], -1).mean(1)
        pooled = torch.cat([features.mean(1), features.amax(1), part, pull], -1)
        turn, shift = (self.head(pooled) + self.skip(pull)).split(3, -1)
        return turn, shift

    def _offsets(self, points: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, N, 3) offset of each point to the nearest surface point of its part."""
        surface = self.surfaces[classes]
        nearest = torch.cdist(points, surface).argmin(-1)
        return torch.gather(surface, 1, nearest[..., None].expand(-1, -1, 3)) - points

    def refine(
        self,
        T_cam_obj: torch.Tensor,
        points_cam: torch.Tensor,
        chroma: torch.Tensor,
        classes: torch.Tensor,
        centers: torch.Tensor,
        diameters: torch.Tensor,
    ) -> list[torch.Tensor]:
        """The poses (B, 4, 4) after each of the K steps (Mu et al., eq. 5), with gradients to each step's own residual.

        Args:
            T_cam_obj: (B, 4, 4) current poses in metres.
            points_cam: (B, N, 3) of each part's detection in metres.
            chroma: (B, N, 2) in about [-1, 1].
            classes: (B,) index of the part among the config's objects.
            centers: (B, 3) of the parts in their own frames, metres.
            diameters: (B,) in metres.
        """
        poses = []
        for _ in range(self.config.steps):
            pose = T_cam_obj.detach()
            local = (points_cam - pose[:, None, :3, 3]) @ pose[:, :3, :3]
            turn, shift = self((local - centers[:, None]) / diameters[:, None, None], chroma, classes)
            R = exp_so3(turn)
            moved = centers + shift * diameters[:, None] - (R @ centers[..., None])[..., 0]
            residual = torch.cat([torch.cat([R, moved[..., None]], -1), pose[:, 3:]], 1)
            T_cam_obj = pose @ residual
            poses.append(T_cam_obj)
        return poses


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.ReLU())
