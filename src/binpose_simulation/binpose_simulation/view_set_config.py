"""Where the cameras of several views of one pile are."""

from dataclasses import dataclass

from binpose_core.base.settings import check_bounds, setting
from binpose_simulation.viewpoint import check_range


@dataclass(frozen=True)
class ViewSetConfig:
    """Where the cameras of a set are.

    views: number of views of each pile.
    tilt_rad: least and largest angle between optical axis and vertical.
    jitter: random part of the direction around the bin, as a fraction of the angle between neighbouring views.
    aim: largest offset of the optical axis from the bin's centre, in half bin sizes.
    fixed: the same directions for every pile, as with cameras on a frame; otherwise each pile has its own.
    """

    views: int = setting(3, bounds=(1, 100))
    tilt_rad: tuple[float, float] = (0.2, 0.6)
    jitter: float = setting(0.25, bounds=(0.0, 1.0))
    aim: float = setting(0.15, bounds=(0.0, 1.0))
    fixed: bool = False

    def __post_init__(self) -> None:
        check_bounds(self)
        check_range(type(self).__name__, "tilt_rad", self.tilt_rad, 0.0, 1.2)
