"""What counts as the same: a motion is judged by how much of what cameras see of the part it leaves in place.

Exact is what a camera with a good depth sensor cannot see: at the distance at which a part fills its crop, such a
sensor's noise is about 1 % of the part's diameter (0.3 mm on 30 mm). Points of the visible surface decide first, as
that is fast; then renderings are compared, which also show holes, notches and pins. Near is what leaves most of the
visible surface in place, such as a motor's roll that only moves its off-centre shaft.
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
SMALL_SHARE = 0.002
"""Of a round part's pixels in a view, those at which a detail may be deeper than shallow."""
# Of the 2,000 pixels of a part in a usual crop, 30 may differ a little, 6 boldly: less than the sensor loses at edges.
DIFFERING, DIFFERING_BOLDLY = 0.015, 0.003


@dataclass(frozen=True)
class SymmetryConfig:
    """What counts as the same.

    exact_tolerance: of the part's size; 98.5 % of what cameras see of it deviates by less than this, 99.7 % by less
        than three times this. The size is the diameter, or four times the middle extent of a slender part, whose
        cross-section would otherwise drown in the tolerance.
    near_tolerance, near_share: a near-symmetry leaves at least this share of the visible surface within this tolerance.
    shallow: a detail of this depth at most, of the part's size, does not keep a round part from being round, nor does
        a deeper one on less than `SMALL_SHARE` of a view's pixels.
    near_step_rad: steps in which a part that is nearly round is turned.
    max_order: largest count of a rotation that is looked for, such as the teeth of a gear.
    max_near: so many near-symmetries are kept, the best.
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
    """The mesh with at most `MAX_FACES` faces: what this loses is far below any tolerance, and time grows with them."""
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
        """Whether no camera sees a difference after any of the motions (K, 4, 4)."""
        return self.surface_stays(motions) and all(self.views.same(motion) for motion in motions)

    def round_about(self, turns: FloatArray) -> bool:
        """Whether the part is round for cameras under turns (K, 4, 4) about an axis, shallow details apart.

        The ends of a retaining ring or a seam do not make a round part's roll worth telling: as a discrete set of
        near-symmetries, its turns would be rivals that nothing but this detail decides.
        """
        return self.surface_stays(turns) and all(
            self.views.nearly_same(turn, self.shallow_m, SMALL_SHARE) for turn in turns
        )

    def surface_stays(self, motions: FloatArray) -> bool:
        """Whether the visible surface comes to lie on the surface under all motions (K, 4, 4), small openings apart."""
        for some in (motions[:: max(1, len(motions) // 3)], motions):  # most candidates fail at a glance
            glance = self._both_ways(some, 100) > self.exact_m
            if glance.mean(axis=-1).max(initial=0.0) > 6 * DIFFERING:
                return False
        return all(self._same(self._both_ways(motion[None], len(self.points))) for motion in motions)

    def _same(self, distances: FloatArray) -> bool:
        little, boldly = (distances > self.exact_m).mean(), (distances > 3 * self.exact_m).mean()
        return bool(little <= DIFFERING and boldly <= DIFFERING_BOLDLY)

    def share(self, motions: FloatArray, few: int = 1000) -> FloatArray:
        """(K,) share of the surface that stays in place within the near tolerance under motions (K, 4, 4)."""
        within = self._both_ways(motions, few) <= self.near_m
        return np.asarray(within.mean(axis=-1).min(axis=0))

    def deviation_m(self, motions: FloatArray, few: int = 1000) -> FloatArray:
        """(K,) mean distance of the surface from itself under motions (K, 4, 4), each point's at most the near one."""
        return np.asarray(np.minimum(self._both_ways(motions, few), self.near_m).mean(axis=-1).max(axis=0))

    def _both_ways(self, motions: FloatArray, few: int) -> FloatArray:
        both = np.stack([motions, inverse(motions)])
        return self.field(transform(both, self.points[:few]))


def _middle_extent(points: FloatArray) -> float:
    """The second largest extent of points (N, 3) along their principal axes."""
    _, axes = np.linalg.eigh(np.cov(points.T))
    return float(np.sort(np.ptp(points @ axes, axis=0))[1])
