"""The joint loss of render-and-compare: colour, overlap and geometry between a rendering and the frame.

The joint loss of Mu et al. (Joint-Loss Enhanced Self-Supervised Learning for Refinement-Coupled Object 6D Pose
Estimation, eqs. 6-11), per instance of a batch, with two changes for full bins. Occluded pixels are ignored. The
geometry term is the robust distance along the rendered normal at each pixel, instead of a search for nearest neighbours
in point clouds, which a rendering makes unnecessary. Parts whose meshes have colours are compared by colour on their
own detections; CAD files without colours take the median colour of their detection.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from binpose_core.rendering.differentiable import DifferentiableRendering, over
from binpose_refinement.descent_config import COARSE, DescentConfig
from binpose_refinement.kernels.descent import COLOR_REACH_PX

FAR = 1e4
"""A chroma that no pixel has; marks missing values."""


@dataclass(frozen=True)
class Observed:
    """The frame in the windows of B instances.

    depth_m: (B, h, w), 0 = unknown. mask: (B, h, w) in {0, 1}, the instance's detection.
    other: (B, h, w) in {0, 1}, masks of other detections. chroma: (B, h, w, 2) a and b of CIELAB.
    rays: (B, h, w, 3) directions with z = 1.
    """

    depth_m: torch.Tensor
    mask: torch.Tensor
    other: torch.Tensor
    chroma: torch.Tensor
    rays: torch.Tensor

    def take(self, index: npt.NDArray[np.int64]) -> "Observed":
        """The rows of some of the instances."""
        return Observed(**{name: value[index] for name, value in vars(self).items()})


@dataclass(frozen=True)
class JointLoss:
    """Weights of the terms (the lambdas of eq. 11) and their scales; the defaults are those of the coarse phase.

    tolerance_m: depth difference at which the geometry term turns from quadratic to linear.
    truncation_m: depth difference from which it is constant.
    chroma_scale: difference of chroma with a loss of one. neighbourhood_px: M of eq. 6.
    """

    color: float = DescentConfig.color
    overlap: float = COARSE.overlap
    geometry: float = 1.0
    tolerance_m: float = COARSE.tolerance_m
    truncation_m: float = COARSE.truncation_m
    chroma_scale: float = DescentConfig.chroma_scale
    neighbourhood_px: int = COLOR_REACH_PX

    def __call__(
        self, drawn: DifferentiableRendering, observed: Observed, colored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B,) loss of each instance.

        Args:
            drawn: the renderings; the attributes of coloured meshes are their chroma (B, h, w, 2).
            observed: the same windows of the frame.
            colored: (B,) bool, which meshes have colours; None if none has.
        """
        clear = 1.0 - self.occluded(drawn, observed)
        total = self.geometry * geometry_loss(drawn, observed, clear, self.tolerance_m, self.truncation_m)
        if self.overlap > 0:
            total = total + self.overlap * overlap_loss(drawn.coverage, observed.mask, clear)
        if self.color > 0:
            shown, where = color_images(drawn.coverage, observed), clear
            if colored is not None and colored.any():
                painted, drawn_here = painted_images(drawn, observed)
                shown = torch.where(colored[:, None, None, None], painted, shown)
                where = torch.where(colored[:, None, None], drawn_here, where)
            total = total + self.color * color_loss(
                shown / self.chroma_scale, observed.chroma / self.chroma_scale, where, self.neighbourhood_px
            )
        return total

    def occluded(self, drawn: DifferentiableRendering, observed: Observed) -> torch.Tensor:
        """(B, h, w) in {0, 1}: covered by another detection, or by something in front of the instance's detection."""
        depth = drawn.depth_m.detach()
        in_front = (observed.depth_m > 0) & (depth > 0) & (observed.depth_m < depth - self.truncation_m)
        hidden = (observed.mask == 0) & (in_front | ((observed.other > 0) & (observed.depth_m < depth + 1e-9)))
        unknown = (observed.mask == 0) & (observed.other > 0) & (observed.depth_m == 0)
        return (hidden | unknown).to(observed.mask.dtype)


def geometry_loss(
    drawn: DifferentiableRendering, observed: Observed, clear: torch.Tensor, tolerance_m: float, truncation_m: float
) -> torch.Tensor:
    """(B,) mean robust distance along the rendered normal, in tolerances (Mu et al., eq. 10, per pixel).

    Counted where the detection has depth and the part is rendered. A pixel of the detection outside the rendering has
    the truncated loss, and so has a rendered pixel in front of observed free space.
    """
    known = (observed.depth_m > 0) & (clear > 0)
    cosine = (drawn.normals_cam * observed.rays).sum(-1).abs()
    distance = (observed.depth_m - drawn.depth_m) * cosine / tolerance_m
    limit = truncation_m / tolerance_m
    inside = known & (drawn.coverage > 0.5)
    cost = robust(distance, limit)
    free = inside & (observed.mask == 0)  # rendered in observed free space
    explained = known & (observed.mask > 0)
    cost = over((cost * inside)[..., None], drawn.coverage, limit, drawn.occlusions)[..., 0]
    weight = explained.to(cost.dtype)
    extra = free.to(cost.dtype) * (cost.detach() > 0.5 * limit) * limit * drawn.coverage
    return ((cost * weight).sum((1, 2)) + extra.sum((1, 2))) / weight.sum((1, 2)).clamp(min=1.0) / limit


def robust(distance: torch.Tensor, limit: float) -> torch.Tensor:
    """Quadratic below 1, linear above, constant beyond the limit."""
    size = distance.abs()
    return torch.where(size < 1.0, 0.5 * size.square(), size - 0.5).clamp(max=limit)


def overlap_loss(coverage: torch.Tensor, mask: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    """(B,) 1 - IoU of coverage and mask (B, h, w) over the clear pixels (Mu et al., eq. 8)."""
    both = (coverage * mask * clear).sum((1, 2))
    either = ((coverage + mask) * clear).sum((1, 2)) - both
    return 1.0 - both / either.clamp(min=1.0)


def color_images(coverage: torch.Tensor, observed: Observed) -> torch.Tensor:
    """Chroma (B, h, w, 2) of parts without colours, blended over the background.

    The part has the median chroma of its mask, the background the median of its surroundings.
    """
    inside, outside = observed.mask > 0, (observed.mask == 0) & (observed.other == 0)
    part, ground = masked_median(observed.chroma, inside), masked_median(observed.chroma, outside)
    background = torch.where(inside[..., None], ground[:, None, None], observed.chroma)
    return over(part[:, None, None].expand_as(observed.chroma), coverage, background)


def painted_images(drawn: DifferentiableRendering, observed: Observed) -> tuple[torch.Tensor, torch.Tensor]:
    """Chroma (B, h, w, 2) of parts with colours, and the compared pixels (B, h, w): rendered on their detections."""
    covered = drawn.face_ids >= 0
    return torch.where(covered[..., None], drawn.attributes, FAR), covered.to(observed.mask.dtype) * observed.mask


def masked_median(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """(B, K) median of values (B, h, w, K) over the pixels (B, h, w); 0 where there is none."""
    picked = values.masked_fill(~where[..., None], torch.nan).flatten(1, 2)
    return torch.nan_to_num(picked.nanmedian(1).values)


def color_loss(shown: torch.Tensor, seen: torch.Tensor, clear: torch.Tensor, reach_px: int) -> torch.Tensor:
    """(B,) mean difference to the most similar pixel nearby, in both directions (Mu et al., eqs. 6 and 7).

    Images (B, h, w, K); a difference has a loss of at most 1, and only clear (B, h, w) pixels count.
    """
    cost = _to_nearest(shown, seen, reach_px) + _to_nearest(seen, shown, reach_px)
    return (cost * clear).sum((1, 2)) / clear.sum((1, 2)).clamp(min=1.0)


def _to_nearest(image: torch.Tensor, other: torch.Tensor, reach_px: int) -> torch.Tensor:
    """(B, h, w) distance of each pixel's value to the nearest value of the other image in its neighbourhood."""
    height, width = image.shape[1:3]
    padded = functional.pad(other, (0, 0, *([reach_px] * 4)), value=1e3)
    steps = range(2 * reach_px + 1)
    shifted = (padded[:, i : i + height, j : j + width] for i in steps for j in steps)
    distances = [(image - near).square().sum(-1) for near in shifted]
    return (torch.stack(distances).amin(0) + 1e-6).sqrt().clamp(max=1.0)
