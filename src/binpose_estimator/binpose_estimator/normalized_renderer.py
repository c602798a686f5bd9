"""Renderings of parts as crops show them, in diameters: no part is larger than another to a loss."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.differentiable import DifferentiableRenderer, DifferentiableRendering
from binpose_core.rendering.renderer import Renderer, Rendering
from binpose_estimator.crops import CropInputs

FACES = 600
"""About so many of each part are drawn."""


class NormalizedRenderer:
    """Draws parts, each with diameter 1 and its centre at the origin, by the virtual cameras of crops.

    Bengtson et al. (2022) scale all parts to one size for the same reason.

    Args:
        parts: in class order.
    """

    def __init__(self, parts: Sequence[ObjectModel]) -> None:
        self.renderer = Renderer([_normalized(part) for part in parts])
        self.differentiable = DifferentiableRenderer(self.renderer)

    def hard(
        self, classes: torch.Tensor, rotation: torch.Tensor, place: torch.Tensor, inputs: CropInputs, size_px: int
    ) -> Rendering:
        """Images (B, n, n), n = size_px, of the whole window of each crop, without gradients.

        Args:
            classes: (B,) of the parts.
            rotation: (B, 3, 3) in the crops' frames.
            place: (B, 3) of the parts' centres from the virtual cameras, in diameters.
            inputs: the crops.
            size_px: side of the images.
        """
        poses = from_rotation_translation(_array(rotation), _array(place))
        return self.renderer.crops(
            _array(classes).astype(int), poses, crop_intrinsics(inputs, size_px), size_px, size_px
        )

    def soft(
        self, classes: torch.Tensor, rotation: torch.Tensor, place: torch.Tensor, inputs: CropInputs, size_px: int
    ) -> DifferentiableRendering:
        """The same with gradients to rotation and place."""
        last = torch.tensor([0.0, 0.0, 0.0, 1.0], device=rotation.device).expand(len(rotation), 1, 4)
        poses = torch.cat([torch.cat([rotation, place[..., None]], -1), last], 1)
        cameras = crop_intrinsics(inputs, size_px)
        return self.differentiable(_array(classes).astype(int), poses, cameras, size_px, size_px)

    def shaded(
        self, classes: torch.Tensor, rotation: torch.Tensor, place: torch.Tensor, inputs: CropInputs
    ) -> torch.Tensor:
        """(B, 1, n, n) brightness in [0, 1] with a lamp at the camera and a black background, n of the crops."""
        drawn = self.hard(classes, rotation, place, inputs, inputs.content.size_px).shaded((255, 255, 255))
        return torch.from_numpy(drawn[..., 0]).to(rotation.device).float()[:, None] / 255.0


def crop_intrinsics(inputs: CropInputs, size_px: int) -> FloatArray:
    """(B, 4) fx, fy, cx, cy of the crops' virtual cameras, for images of their window with this side."""
    focal = _array(inputs.distance).astype(np.float64) * size_px / inputs.content.diameters
    middle = np.full_like(focal, 0.5 * (size_px - 1))
    return np.stack([focal, focal, middle, middle], -1)


def _normalized(part: ObjectModel) -> Mesh:
    mesh = part.lod(FACES)
    return replace(mesh, vertices=((mesh.vertices - part.center_m) / part.diameter_m).astype(np.float32))


def _array(values: torch.Tensor) -> FloatArray:
    return values.detach().cpu().numpy()
