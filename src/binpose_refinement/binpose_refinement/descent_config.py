"""Defaults of render-and-compare."""

from dataclasses import dataclass, field

from binpose_core.base.settings import FRACTION, check_bounds, setting

WEIGHT = (0.0, 1000.0)


@dataclass(frozen=True)
class Phase:
    """One scale of the descent, by default the coarse one.

    size_px: largest crop. detail_px: largest error of the level of detail in the crop. steps: largest number of steps.
    tolerance_m, tolerance_sigmas: depth difference at which the geometry loss turns from quadratic to linear: the
        larger of a length and a multiple of the noise. truncation_m, truncation_tolerances: where it becomes constant.
    overlap: weight of the overlap term; the geometry term has weight 1.
    """

    size_px: int = setting(64, bounds=(16, 1024))
    detail_px: float = setting(0.5, bounds=(1e-4, 100.0))
    steps: int = setting(5, bounds=(1, 1000))
    tolerance_m: float = setting(1e-3, bounds=(1e-6, 0.1))
    tolerance_sigmas: float = setting(1.5, bounds=(0.0, 100.0))
    truncation_m: float = setting(6e-3, bounds=(1e-6, 0.1))
    truncation_tolerances: float = setting(4.0, bounds=(1.0, 1000.0))
    overlap: float = setting(0.2, bounds=(0.0, 100.0))

    def __post_init__(self) -> None:
        check_bounds(self)


COARSE = Phase()
FINE = Phase(128, 0.05, 8, 2e-4, 1.0, 2e-3, 3.0, 0.05)


@dataclass(frozen=True)
class DescentConfig:
    """Settings of the descent.

    coarse, fine: the two phases; all starts go through the first, the best of them through the second.
    longest_step: largest step, as a fraction of the diameter.
    shortest_step: step that ends the descent, as a fraction of the depth noise.
    stay: loss for a move of one diameter away from the initial pose in the coarse phase.
    farthest_start: largest shift of a start onto the observed points, as a fraction of the diameter.
    color: weight of the colour term, for parts with colours; the geometry term has weight 1.
    chroma_scale: difference of chroma with a loss of one.
    turns: number of rotations about the axis at which a round part with colours is compared.
    """

    coarse: Phase = field(default_factory=lambda: COARSE)
    fine: Phase = field(default_factory=lambda: FINE)
    longest_step: float = setting(0.08, bounds=(1e-4, 1.0))
    shortest_step: float = setting(0.005, bounds=FRACTION)
    stay: float = setting(2.5, bounds=WEIGHT)
    farthest_start: float = setting(0.3, bounds=FRACTION)
    color: float = setting(0.1, bounds=WEIGHT)
    chroma_scale: float = setting(40.0, bounds=(1.0, 1000.0))
    turns: int = setting(36, bounds=(1, 360))

    def __post_init__(self) -> None:
        check_bounds(self)
