"""What the pose network would see of a part at a predicted pose: rendered crops with gradients to the pose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.differentiable import DifferentiableRenderer, DifferentiableRendering, over
from binpose_core.rendering.renderer import Renderer
from binpose_estimator.crop_content import CropContent
from binpose_estimator.crops import REACH_DIAMETERS, CropInputs, local_contrast

FACES = 1500
"""Level of detail of the rendered meshes."""
AMBIENT, DIFFUSE = 0.25, 0.6
"""Brightness of a grey part that is lit from the camera: CAD files have no colours."""


@dataclass(frozen=True)
class RenderedCrops:
    """inputs: of the parts at their poses, nothing around them. silhouette: (B, 1, n, n), 1 on the part."""

    inputs: CropInputs
    silhouette: torch.Tensor


class CropRenderer:
    """Renders parts in the virtual cameras of crops.

    Args:
        parts: in class order.
        content: of the crops.
    """

    def __init__(self, parts: Sequence[ObjectModel], content: CropContent) -> None:
        self._renderer = DifferentiableRenderer(Renderer([part.lod(FACES) for part in parts]))
        self._content = content
        self._diameter = torch.tensor([part.diameter_m for part in parts], dtype=torch.float32)
        self._center = torch.from_numpy(np.array([part.center_m for part in parts], np.float32))

    def __call__(
        self, classes: torch.Tensor, rotation: torch.Tensor, center: torch.Tensor, distance: torch.Tensor
    ) -> RenderedCrops:
        """The crops of parts of classes (B,), with gradients.

        Args:
            classes: (B,) int64.
            rotation: (B, 3, 3) in the crop's frame.
            center: (B, 3) of the part from the crop's centre, in diameters.
            distance: (B,) of the crop's centre in diameters.
        """
        size = self._content.size_px
        diameter, middle = (values.to(rotation.device)[classes] for values in (self._diameter, self._center))
        ahead = torch.nn.functional.pad(distance[:, None], (2, 0))
        translation = (center + ahead) * diameter[:, None] - (rotation @ middle[..., None])[..., 0]
        bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], device=rotation.device).expand(len(rotation), 1, 4)
        T_crop_obj = torch.cat([torch.cat([rotation, translation[..., None]], -1), bottom], 1)
        focal, middle_px = size * distance / self._content.diameters, torch.full_like(distance, 0.5 * (size - 1))
        intrinsics = torch.stack([focal, focal, middle_px, middle_px], -1)
        drawn = self._renderer(classes.cpu().numpy(), T_crop_obj, intrinsics, size, size)
        return self._crops(drawn, distance, diameter)

    def _crops(self, drawn: DifferentiableRendering, distance: torch.Tensor, diameter: torch.Tensor) -> RenderedCrops:
        coverage = drawn.coverage[:, None]
        valid = (drawn.coverage.detach() > 0.5).float()
        shade = AMBIENT + DIFFUSE * drawn.normals_cam[..., 2].abs()
        gray = over(shade[..., None], drawn.coverage, 0.0, drawn.occlusions).permute(0, 3, 1, 2)
        images: dict[str, torch.Tensor] = {}
        for name in self._content.names:
            if name in ("mask", "valid"):
                images[name] = coverage
            elif name == "rgb":
                images[name] = gray.expand(-1, 3, -1, -1)
            elif name == "luma":
                images[name] = local_contrast(gray[:, 0])[:, None]
            elif name == "normals":
                images[name] = drawn.normals_cam.permute(0, 3, 1, 2)
            else:
                images[name] = _points(drawn.depth_m / diameter[:, None, None], distance, valid, self._content)
        x = torch.cat([images[name] for name in self._content.names], 1)
        return RenderedCrops(CropInputs(self._content, x, distance), coverage)


def _points(depth: torch.Tensor, distance: torch.Tensor, valid: torch.Tensor, content: CropContent) -> torch.Tensor:
    """(B, 3, n, n) points from the crop's centre, of depth (B, n, n) in diameters from the camera."""
    size = content.size_px
    grid = (torch.arange(size, device=depth.device) - 0.5 * (size - 1)) * (content.diameters / size)
    stretch = depth / distance[:, None, None]
    points = torch.stack([grid * stretch, grid[:, None] * stretch, depth - distance[:, None, None]], 1)
    return points.clamp(-REACH_DIAMETERS, REACH_DIAMETERS) * valid[:, None]
