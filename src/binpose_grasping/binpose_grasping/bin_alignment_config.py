"""Settings of the comparison of the bin; separate from it, so that the command line starts without its kernels."""

from dataclasses import dataclass

from binpose_core.base.settings import check_bounds, setting


@dataclass(frozen=True)
class BinAlignmentConfig:
    """The comparison of the bin with the depth image.

    farthest_m: surface farther than this from the configured bin is not the bin's, in metres.
    scale_m: distance in metres from which on points lose weight, in the last rounds.
    part_m: observed points this close in metres to a found part are not the bin's.
    stride: every how many pixels of a row and column a point is taken.
    rounds: number of alignments.
    slanting: whether the distance of the walls is estimated too. Then, one of two opposite walls does not determine the
        place of the bin; without, it does for vertical walls.
    least_points: least number of points on the bin; fewer do not determine its place.
    """

    farthest_m: float = setting(0.03, bounds=(0.001, 0.2))
    scale_m: float = setting(0.002, bounds=(0.0001, 0.05))
    part_m: float = setting(0.005, bounds=(0.0, 0.1))
    stride: int = setting(3, bounds=(1, 32))
    rounds: int = setting(25, bounds=(1, 500))
    slanting: bool = setting(True)
    least_points: int = setting(200, bounds=(6, 100000))

    def __post_init__(self) -> None:
        check_bounds(self)
