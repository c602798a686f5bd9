"""Defaults of render-and-compare."""

from dataclasses import dataclass, field

from binpose_core.base.settings import FRACTION, check_bounds, setting

WEIGHT = (0.0, 1000.0)


@dataclass(frozen=True)
class Phase:
    """One scale of the descent, the coarse one by default.

    size_px: largest crop. detail_px: how far the level of detail may be off in the crop. steps: at most so many.
    tolerance_m, tolerance_sigmas: depth difference at which the geometry turns from quadratic to linear: the larger of
        a length and a multiple of the noise. truncation_m, truncation_tolerances: beyond which it grows no more.
    overlap: weight of the overlap beside the geometry's 1.
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
    """How the poses descend.

    coarse, fine: the two phases; several starts go through the first, the best of them through the second.
    longest_step: share of the diameter at which a step is cut.
    shortest_step: share of the depth noise below which a step ends the descent.
    stay: what a move away from the guess by one diameter costs in the coarse phase, in units of the loss.
    farthest_start: share of the diameter by which a start may be moved onto the observed points.
    color: weight of the colour term beside the geometry's 1, for parts that have colours.
    chroma_scale: difference of chroma that costs one.
    turns: in so many steps a round part that has colours is looked at all round.
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
