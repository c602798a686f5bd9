"""What a training of the pose network is made of."""

from dataclasses import dataclass, field

from binpose_core.base.errors import BinposeError
from binpose_core.learning.loop_config import LoopConfig


@dataclass(frozen=True)
class PoseTrainingConfig:
    """What the crops of a training are and what a batch is made of.

    batch_size: crops per step. Many steps on small batches learn more from the same crops than few on large ones. A GPU
        makes better use of 96; the learning rate then rises with about the square root.
    variants: crops cut per instance and view, each with another centre and roll.
    max_crops: how many are kept in memory, about 33 kB each.
    center_jitter: how far the crop's centre is from the part's, in diameters, across and along the line of sight, as
        detections have it: scales of Student's t distribution, whose tails are theirs.
    gsd_jitter: factor range of the ground sample distance of a view, which real views do not have exactly either.
    least_visible, least_visible_px: parts less visible, as a share or in pixels of the frame, are left out.
    damaged_masks: share of crops whose mask is damaged as detections' masks are.
    wrong_share: share of a batch that shows another part than the network is asked for, as wrong detections do.
    detected_share: share of the views whose crops are those of a detector's own detections, where there is one: its
        masks, centres and mistakes, instead of true ones with damage and jitter.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=10.0, learning_rate=8e-4))
    batch_size: int = 24
    variants: int = 1
    max_crops: int = 80_000
    center_jitter: tuple[float, float] = (0.045, 0.07)
    gsd_jitter: tuple[float, float] = (0.8, 1.25)
    least_visible: float = 0.15
    least_visible_px: int = 40
    damaged_masks: float = 0.7
    wrong_share: float = 0.3
    detected_share: float = 0.5

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.variants < 1:
            raise BinposeError(f"batch_size must be >= 2 and variants >= 1, got {self.batch_size} and {self.variants}.")
