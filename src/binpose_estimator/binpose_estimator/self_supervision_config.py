"""How a pose network learns from images without poses."""

from dataclasses import dataclass

from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, check_bounds, setting


@dataclass(frozen=True)
class SelfSupervisionConfig:
    """A network learns to be consistent on unlabelled crops (Sock et al., 2020, section 3.2). Off by default.

    enabled: whether these losses are used.
    batch_size: unlabelled crops per step.
    consistency: lambda 1, between the masked image and the rendering, eq. 1.
    masking: lambda 2, between the image and the masked image.
    supervised: lambda 3, of the rendering's own pose, eq. 2.
    perceptual: lambda 4, between the features of the masked image and of the rendering.
    occlusion: share of the crops with a patch of noise.
    huber: difference of points, in diameters, at which the losses turn from quadratic to linear.
    warmup_steps: first steps without these losses.
    """

    enabled: bool = False
    batch_size: int = setting(16, bounds=(1, 4096))
    consistency: float = setting(1.0, bounds=NOT_NEGATIVE)
    masking: float = setting(1.0, bounds=NOT_NEGATIVE)
    supervised: float = setting(1.0, bounds=NOT_NEGATIVE)
    perceptual: float = setting(20.0, bounds=NOT_NEGATIVE)
    occlusion: float = setting(0.5, bounds=FRACTION)
    huber: float = setting(0.1, bounds=(1e-4, 10.0))
    warmup_steps: int = setting(0, bounds=(0, 1_000_000))

    def __post_init__(self) -> None:
        check_bounds(self)
