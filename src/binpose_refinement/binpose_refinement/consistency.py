"""Agreement of poses with the depth image, which needs neither labels nor a calibrated score.

The measure is the fraction of a pose's rendered pixels, with depth and not occluded, whose depth agrees. Below
`ConsistencyConfig.least` the depth contradicts the pose, because most of the part would lie in observed free space. A
pose that agrees may still be wrong, for example a similar part or a rotation that the depth does not determine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.kernels.consistency import AGREEING, COUNTS, FREE, count_depth
from binpose_refinement.observation import depth_noise_m

DEPTH_AGREEMENT = "depth_agreement"
"""Name of the agreement among the residuals of a pose."""


@dataclass(frozen=True)
class ConsistencyConfig:
    """When a pose agrees with the depth.

    tolerance_m: depth difference in metres that counts as agreement.
    tolerance_sigmas: the tolerance is at least this multiple of the depth noise, for noisy sensors and far scenes.
    least: fraction of agreeing pixels from which a pose agrees; below, the depth contradicts it.
    largest_px: largest size of the crops in which poses are drawn; larger parts are subsampled.
    """

    tolerance_m: float = setting(0.005, bounds=(1e-6, 0.1))
    tolerance_sigmas: float = setting(3.0, bounds=(0.0, 1000.0))
    least: float = setting(0.8, bounds=(0.0, 1.0))
    largest_px: int = setting(256, bounds=(16, 1024))

    def __post_init__(self) -> None:
        check_bounds(self)


def depth_agreement(
    frame: RgbdFrame,
    poses: Sequence[PoseEstimate],
    part_renderer: PartRenderer,
    level: int = 0,
    config: ConsistencyConfig | None = None,
) -> FloatArray:
    """Fraction of the visible surface whose depth agrees, for each pose independently.

    Args:
        frame: with the depth image.
        poses: of parts in `part_renderer`.
        part_renderer: renders the parts.
        level: of detail at which the parts are rendered.
        config: tolerance and size.

    Returns:
        (N,) in [0, 1]; 0 where all depth lies in front of the pose; NaN where the pose has no depth or cannot be
        rendered.
    """
    agreement = np.full(len(poses), np.nan)
    if frame.depth_m is None or not poses:
        return agreement
    c = config or ConsistencyConfig()
    batch = _batch(poses, part_renderer)
    drawable = part_renderer.unusable(batch, frame.camera) == ""
    counts = _counts(frame, batch.take(drawable), part_renderer, level, c)
    visible = counts[:, AGREEING] + counts[:, FREE]
    fraction = counts[:, AGREEING] / np.maximum(visible, 1)
    agreement[drawable] = np.where(counts.any(axis=1), fraction, np.nan)
    return agreement


def with_depth_agreement(
    frame: RgbdFrame, poses: Sequence[PoseEstimate], part_renderer: PartRenderer, level: int = 0
) -> list[PoseEstimate]:
    """The poses with `DEPTH_AGREEMENT` among their residuals, where it can be measured."""
    return [
        replace(pose, residuals={**pose.residuals, DEPTH_AGREEMENT: float(value)}) if np.isfinite(value) else pose
        for pose, value in zip(poses, depth_agreement(frame, poses, part_renderer, level), strict=True)
    ]


def agrees(pose: PoseEstimate, config: ConsistencyConfig | None = None) -> bool | None:
    """Whether the depth agrees with a pose; None where the agreement was not measured."""
    value = pose.residuals.get(DEPTH_AGREEMENT)
    return None if value is None else value >= (config or ConsistencyConfig()).least


def _batch(poses: Sequence[PoseEstimate], part_renderer: PartRenderer) -> HypothesisBatch:
    """The poses, each with its own detection index."""
    part = np.array([part_renderer.ids.index(pose.object_id) for pose in poses], np.int64)
    T_cam_obj = np.stack([pose.T_cam_obj for pose in poses]).astype(np.float64)
    return HypothesisBatch(np.arange(len(poses)), part, T_cam_obj, np.zeros(len(poses)))


def _counts(
    frame: RgbdFrame, batch: HypothesisBatch, part_renderer: PartRenderer, level: int, config: ConsistencyConfig
) -> FloatArray:
    """(B, COUNTS) pixels that agree, that are free space, and that are occluded."""
    counts = np.zeros((len(batch), COUNTS))
    if frame.depth_m is None or not len(batch):
        return counts
    size_px = min(part_renderer.largest_px(batch, frame.camera), config.largest_px)
    windows = part_renderer.windows(batch, frame.camera, size_px, whole_steps=True)
    drawn = part_renderer.draw(batch, level, windows, frame.camera, size_px)
    tolerance_m = max(config.tolerance_m, config.tolerance_sigmas * depth_noise_m(frame.depth_m))
    count_depth(drawn.depth_m, windows, np.ascontiguousarray(frame.depth_m), tolerance_m, counts)
    return counts
