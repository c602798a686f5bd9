"""Tests how much of a part's visible surface a motion maps onto the surface.

Exact symmetries are those whose differences a camera with a good depth sensor cannot measure: at the distance at which
a part fills its crop, the noise of such a sensor is about 1 % of the part's diameter (0.3 mm on 30 mm). Points of the
visible surface are tested first, which is fast; then renderings are compared, which also show holes, notches and pins.
Near-symmetries keep most of the visible surface in place, such as a motor's roll that only moves its off-centre shaft.
"""

from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.decimation import decimated
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.view_comparison import ViewComparison
from binpose_core.rendering.surface import seen_samples

SAMPLES = 4000
MAX_FACES = 20_000
SMALL_FRACTION = 0.002
"""Fraction of a round part's pixels in a view at which a detail may be deeper than `shallow`."""
# Of 2,000 pixels of a part in a usual crop, 30 may differ slightly and 6 strongly: fewer than a sensor loses at edges.
DIFFERING, DIFFERING_BOLDLY = 0.015, 0.003


@dataclass(frozen=True)
class SymmetryConfig:
    """Tolerances of symmetries.

    exact_tolerance: as a fraction of the part's size; 98.5 % of the visible surface deviate by less than this, 99.7 %
        by less than three times this. The size is the diameter, or four times the middle extent of a slender part,
        because the tolerance would otherwise exceed its cross-section.
    near_tolerance, near_share: a near-symmetry keeps at least this fraction of the visible surface within this
        tolerance.
    shallow: a round part may have details up to this depth, as a fraction of the part's size, and deeper ones on less
        than `SMALL_FRACTION` of a view's pixels.
    near_step_rad: step of the rotations of a nearly round part.
    max_order: largest tested order of a rotation, such as the number of teeth of a gear.
    max_near: number of best near-symmetries that are kept.
    """

    exact_tolerance: float = 0.01
    near_tolerance: float = 0.02
    near_share: float = 0.85
    shallow: float = 0.1
    near_step_rad: float = np.pi / 6
    max_order: int = 100
    max_near: int = 24
    starts: int = 800
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.exact_tolerance <= self.near_tolerance < 0.1:
            raise BinposeError(
                f"Symmetry tolerances {self.exact_tolerance} (exact) and {self.near_tolerance} (near); "
                "expected 0 < exact <= near < 0.1 of the part's size."
            )
        if not 0.5 <= self.near_share <= 1 or not 0.05 < self.near_step_rad <= np.pi or self.max_order < 2:
            raise BinposeError(
                f"near_share {self.near_share}, near_step_rad {self.near_step_rad}, max_order {self.max_order}; "
                "expected 0.5..1, 0.05..pi and at least 2."
            )


def mesh_to_test(mesh: Mesh) -> Mesh:
    """The mesh with at most `MAX_FACES` faces: the error is far below any tolerance, and time grows with the faces."""
    return decimated(mesh, MAX_FACES, aggressiveness=5) if len(mesh.faces) > MAX_FACES else mesh


class SymmetryTest:
    """Measures how well a motion maps the visible surface onto the surface."""

    def __init__(self, mesh: Mesh, config: SymmetryConfig) -> None:
        self.points, self.normals = seen_samples(mesh, SAMPLES, np.random.default_rng(config.seed))
        self.size_m = min(mesh.diameter_m, 4 * _middle_extent(self.points))
        self.exact_m, self.near_m = config.exact_tolerance * self.size_m, config.near_tolerance * self.size_m
        self.shallow_m = config.shallow * self.size_m
        self.field = DistanceField(mesh, max(3.01 * self.exact_m, 2 * self.near_m))
        self.views = ViewComparison(mesh, self.exact_m)

    def exact(self, motions: FloatArray) -> bool:
        """Whether no camera can see a difference after any of the motions (K, 4, 4)."""
        return self.surface_stays(motions) and all(self.views.same(motion) for motion in motions)

    def round_about(self, turns: FloatArray) -> bool:
        """Whether the part is round for cameras under rotations (K, 4, 4) about an axis, except for shallow details.

        The ends of a retaining ring or a seam are ignored. Otherwise the rotations would be near-symmetries that only
        this detail distinguishes.
        """
        return self.surface_stays(turns) and all(
            self.views.nearly_same(turn, self.shallow_m, SMALL_FRACTION) for turn in turns
        )

    def surface_stays(self, motions: FloatArray) -> bool:
        """Whether all motions (K, 4, 4) map the visible surface onto the surface, except for small openings."""
        for some in (motions[:: max(1, len(motions) // 3)], motions):  # most candidates fail on a few motions
            differing = self._both_ways(some, 100) > self.exact_m
            if differing.mean(axis=-1).max(initial=0.0) > 6 * DIFFERING:
                return False
        return all(self._same(self._both_ways(motion[None], len(self.points))) for motion in motions)

    def _same(self, distances: FloatArray) -> bool:
        little, boldly = (distances > self.exact_m).mean(), (distances > 3 * self.exact_m).mean()
        return bool(little <= DIFFERING and boldly <= DIFFERING_BOLDLY)

    def fraction_kept(self, motions: FloatArray, few: int = 1000) -> FloatArray:
        """(K,) fraction of the surface that stays within the near tolerance under motions (K, 4, 4)."""
        within = self._both_ways(motions, few) <= self.near_m
        return np.asarray(within.mean(axis=-1).min(axis=0))

    def deviation_m(self, motions: FloatArray, few: int = 1000) -> FloatArray:
        """(K,) mean distance of the surface from itself under motions (K, 4, 4), clipped at the near tolerance."""
        return np.asarray(np.minimum(self._both_ways(motions, few), self.near_m).mean(axis=-1).max(axis=0))

    def _both_ways(self, motions: FloatArray, few: int) -> FloatArray:
        both = np.stack([motions, inverse(motions)])
        return self.field(transform(both, self.points[:few]))


def _middle_extent(points: FloatArray) -> float:
    """The second largest extent of points (N, 3) along their principal axes."""
    _, axes = np.linalg.eigh(np.cov(points.T))
    return float(np.sort(np.ptp(points @ axes, axis=0))[1])
