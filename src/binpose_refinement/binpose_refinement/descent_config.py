"""Defaults of render-and-compare."""

from dataclasses import dataclass, field

from binpose_core.errors import BinposeError


def _require(name: str, config: object, low: float, high: float, *fields: str) -> None:
    for each in fields:
        value = getattr(config, each)
        if not low <= value <= high:
            raise BinposeError(f"{name}.{each} is {value}; expected {low:g} to {high:g}.")


@dataclass(frozen=True)
class Phase:
    """One scale of the descent.

    size_px: largest crop. detail_px: how far the level of detail may be off in the crop. steps: at most so many.
    tolerance_m, tolerance_sigmas: depth difference at which the geometry turns from quadratic to linear: the larger of
        a length and a multiple of the noise. truncation_m, truncation_tolerances: beyond which it grows no more.
    overlap: weight of the overlap beside the geometry's 1.
    """

    size_px: int
    detail_px: float
    steps: int
    tolerance_m: float
    tolerance_sigmas: float
    truncation_m: float
    truncation_tolerances: float
    overlap: float

    def __post_init__(self) -> None:
        _require("Phase", self, 16, 1024, "size_px")
        _require("Phase", self, 1, 1000, "steps")
        _require("Phase", self, 1e-4, 100.0, "detail_px")
        _require("Phase", self, 1e-6, 0.1, "tolerance_m", "truncation_m")
        _require("Phase", self, 0.0, 100.0, "tolerance_sigmas", "overlap")
        _require("Phase", self, 1.0, 1000.0, "truncation_tolerances")


COARSE = Phase(64, 0.5, 5, 1e-3, 1.5, 6e-3, 4.0, 0.2)
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
    longest_step: float = 0.08
    shortest_step: float = 0.005
    stay: float = 2.5
    farthest_start: float = 0.3
    color: float = 0.1
    chroma_scale: float = 40.0
    turns: int = 36

    def __post_init__(self) -> None:
        _require("DescentConfig", self, 1e-4, 1.0, "longest_step")
        _require("DescentConfig", self, 0.0, 1.0, "shortest_step", "farthest_start")
        _require("DescentConfig", self, 1, 360, "turns")
        _require("DescentConfig", self, 0.0, 1000.0, "stay", "color")
        _require("DescentConfig", self, 1.0, 1000.0, "chroma_scale")
