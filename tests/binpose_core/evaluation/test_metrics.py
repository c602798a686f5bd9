"""Values derived by hand, and laws that any pose error obeys."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation import metrics
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import (
    exp_so3,
    from_rotation_translation,
    random_rotation,
    transform,
)

CAMERA = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
SQUARE = np.array([[1.0, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]]) * 0.01
QUARTER_TURNS = from_rotation_translation(exp_so3(np.outer(np.arange(4) * np.pi / 2, [0, 0, 1])), np.zeros(3))
IDENTITY = np.eye(4)[None]
ERRORS_3D = {
    "add": metrics.add,
    "adi": metrics.adi,
    "mssd": lambda a, b, points: metrics.mssd(a, b, points, IDENTITY),
}


def pose(rotation_vector=(0, 0, 0), translation=(0, 0, 0.5)):
    return from_rotation_translation(
        exp_so3(np.array(rotation_vector, dtype=float)),
        np.array(translation, dtype=float),
    )


def random_pose(rng):
    return from_rotation_translation(random_rotation(rng), np.array([0, 0, 0.5]) + rng.uniform(-0.05, 0.05, 3))


@pytest.mark.parametrize("name", ERRORS_3D)
def test_a_pure_translation_costs_its_length(name):
    # 0.3 mm is below half the spacing of the points, so each point's nearest one is itself.
    shifted = pose(translation=(0.0002, 0.0001, 0.5 - 0.0002))
    assert ERRORS_3D[name](shifted, pose(), SQUARE) == pytest.approx(0.0003, rel=1e-9)


def test_a_half_turn_of_a_square_by_hand():
    turned = pose((0, 0, np.pi))
    diagonal = 0.02 * np.sqrt(2)
    assert metrics.add(turned, pose(), SQUARE) == pytest.approx(diagonal)
    assert metrics.adi(turned, pose(), SQUARE) == pytest.approx(0, abs=1e-12)
    assert metrics.mssd(turned, pose(), SQUARE, IDENTITY) == pytest.approx(diagonal)
    assert metrics.mssd(turned, pose(), SQUARE, QUARTER_TURNS) == pytest.approx(0, abs=1e-12)


def test_adi_measures_from_the_true_points_to_the_estimated_ones():
    # Points at 0 and 1 moved by +1 stand at 1 and 2: from the true 0 the nearest is 1 m off, from the true 1 none.
    line = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert metrics.adi(pose(translation=(1, 0, 5)), pose(translation=(0, 0, 5)), line) == pytest.approx(0.5)


def test_adi_agrees_with_all_pairs_of_distances(rng):
    points = rng.normal(size=(150, 3)) * 0.02
    for _ in range(5):
        est, gt = random_pose(rng), random_pose(rng)
        pairs = np.linalg.norm(transform(gt, points)[:, None] - transform(est, points)[None], axis=-1)
        assert metrics.adi(est, gt, points) == pytest.approx(pairs.min(axis=1).mean())
        assert metrics.adi(est, gt, points, cKDTree(points)) == metrics.adi(est, gt, points)


def test_add_s_takes_the_error_of_the_kind_of_part():
    turned = pose((0, 0, np.pi / 2))
    assert metrics.add_s(turned, pose(), SQUARE, symmetric=True) == pytest.approx(0, abs=1e-12)
    assert metrics.add_s(turned, pose(), SQUARE, symmetric=False) == pytest.approx(0.02)


def test_projection_of_a_sideways_shift_by_hand():
    # 1 mm at half a metre with a focal length of 500 px is one pixel, for every point of a flat part facing us.
    shifted = pose(translation=(0.001, 0, 0.5))
    assert metrics.projection_error_px(shifted, pose(), SQUARE, CAMERA) == pytest.approx(1.0)
    assert metrics.mspd(shifted, pose(), SQUARE, IDENTITY, CAMERA) == pytest.approx(1.0)


def test_mspd_takes_the_worst_point_and_the_best_symmetry():
    # Half a turn carries a corner to the opposite one, 20 mm * sqrt(2) away: that many pixels at 1 px per mm.
    turned = pose((0, 0, np.pi))
    assert metrics.mspd(turned, pose(), SQUARE, IDENTITY, CAMERA) == pytest.approx(20 * np.sqrt(2))
    assert metrics.mspd(turned, pose(), SQUARE, QUARTER_TURNS, CAMERA) == pytest.approx(0, abs=1e-9)


def test_a_pose_behind_the_camera_is_infinitely_wrong_in_the_image():
    behind = pose(translation=(0, 0, -0.5))
    assert metrics.projection_error_px(behind, pose(), SQUARE, CAMERA) == np.inf
    assert metrics.mspd(behind, behind, SQUARE, IDENTITY, CAMERA) == np.inf


@pytest.mark.parametrize("name", ERRORS_3D)
def test_errors_vanish_only_at_the_truth_and_do_not_depend_on_the_camera_frame(name, rng):
    points, error = rng.normal(size=(60, 3)) * 0.02, ERRORS_3D[name]
    est, gt, moved = random_pose(rng), random_pose(rng), random_pose(rng)
    assert error(gt, gt, points) == pytest.approx(0, abs=1e-12)
    assert error(est, gt, points) > 1e-3
    assert error(moved @ est, moved @ gt, points) == pytest.approx(error(est, gt, points))


def test_order_and_triangle_laws(rng):
    points = rng.normal(size=(60, 3)) * 0.02
    for _ in range(20):
        a, b, c = (random_pose(rng) for _ in range(3))
        assert metrics.adi(a, b, points) <= metrics.add(a, b, points) <= metrics.mssd(a, b, points, IDENTITY)
        for error in (metrics.add, ERRORS_3D["mssd"]):
            assert error(a, b, points) == pytest.approx(error(b, a, points))
            assert error(a, c, points) <= error(a, b, points) + error(b, c, points) + 1e-12


def test_mssd_and_mspd_do_not_see_a_symmetry(rng):
    for symmetry in QUARTER_TURNS:
        est, gt = random_pose(rng), random_pose(rng)
        for args in ((SQUARE, QUARTER_TURNS), (SQUARE, QUARTER_TURNS, CAMERA)):
            error = metrics.mssd if len(args) == 2 else metrics.mspd
            assert error(est @ symmetry, gt, *args) == pytest.approx(error(est, gt, *args))
            assert error(est, gt @ symmetry, *args) == pytest.approx(error(est, gt, *args))


def test_mssd_of_the_hull_is_that_of_all_vertices(rng):
    points = rng.normal(size=(500, 3)) * 0.02
    hull = metrics.hull_vertices(points)
    assert len(hull) < 150
    est, gt = random_pose(rng), random_pose(rng)
    assert metrics.mssd(est, gt, hull, QUARTER_TURNS) == pytest.approx(metrics.mssd(est, gt, points, QUARTER_TURNS))
    assert np.array_equal(metrics.hull_vertices(SQUARE), SQUARE), "a flat part has no hull"


class TestVsd:
    """A square of 10x10 pixels at 1 m, seen by a camera so long that rays are parallel."""

    camera = Camera(1e6, 1e6, 16.0, 12.0, 32, 24)

    def square(self, column=10, depth_m=1.0):
        image = np.zeros((24, 32), dtype=np.float32)
        image[5:15, column : column + 10] = depth_m
        return image

    def vsd(self, est, gt, seen, taus=(0.01,)):
        return metrics.vsd(est, gt, seen, self.camera, taus)

    def test_the_true_pose_costs_nothing_and_a_disjoint_one_everything(self):
        seen = np.where(self.square() > 0, self.square(), 1.2)
        assert self.vsd(self.square(), self.square(), seen) == pytest.approx([0])
        assert self.vsd(self.square(column=20), self.square(), seen) == pytest.approx([1])

    def test_a_shift_by_half_costs_two_thirds(self):
        # 10 columns each, 5 shared: 10 of the 15 columns of the union belong to one only.
        seen = np.where(self.square() > 0, self.square(), 1.2)
        assert self.vsd(self.square(column=15), self.square(), seen) == pytest.approx([10 / 15])

    def test_step_cost_counts_from_tau_on(self):
        seen = np.where(self.square() > 0, self.square(), 1.2)
        errors = self.vsd(self.square(depth_m=0.995), self.square(), seen, taus=(0.004, 0.006))
        assert errors == pytest.approx([1, 0])

    def test_an_error_of_exactly_tau_is_a_mistake(self):
        camera = Camera(1.0, 1.0, 0.0, 0.0, 1, 1)
        est, gt = np.array([[1.25]]), np.array([[1.0]])
        assert metrics.vsd(est, gt, gt, camera, (0.25,)) == pytest.approx([1])

    def test_an_occluder_hides_half_of_both(self):
        # Columns 10..14 lie behind something 0.2 m nearer. Shifting by 5 columns to the right shows 10, shares 5.
        seen = np.where(self.square() > 0, self.square(), 1.2)
        seen[:, :15] = 0.8
        assert self.vsd(self.square(), self.square(), seen) == pytest.approx([0])
        assert self.vsd(self.square(column=15), self.square(), seen) == pytest.approx([5 / 10])
        assert self.vsd(self.square(column=5), self.square(), seen) == pytest.approx([1])

    def test_nothing_visible_is_an_error_of_one(self):
        nothing = np.zeros((24, 32), dtype=np.float32)
        assert self.vsd(self.square(), self.square(), np.full((24, 32), 0.5)) == pytest.approx([1])
        assert self.vsd(nothing, nothing, nothing, taus=(0.1, 0.2)) == pytest.approx([1, 1])

    def test_a_hole_in_the_depth_counts_as_visible(self):
        # Left half in front of an occluder, right half without measurement: the right half is compared.
        seen = np.full((24, 32), 0.5)
        seen[:, 15:] = 0
        assert self.vsd(self.square(depth_m=0.9), self.square(), seen) == pytest.approx([1])
        assert self.vsd(self.square(), self.square(), seen) == pytest.approx([0])

    def test_an_estimate_behind_the_seen_surface_is_visible_where_the_truth_is(self):
        # Eq. 14 of Hodan et al. 2016: else an estimate pushed into the part would hide instead of being wrong.
        seen = np.where(self.square() > 0, self.square(), 1.2)
        assert self.vsd(self.square(depth_m=1.05), self.square(), seen, taus=(0.04, 0.06)) == pytest.approx([1, 0])

    def test_distances_are_measured_along_the_ray(self):
        # At 45 degrees 10 mm of depth are 14.1 mm of distance.
        camera = Camera(1.0, 1.0, 0.0, 0.0, 2, 1)
        est, gt = np.array([[0, 1.01]]), np.array([[0, 1.0]])
        assert metrics.vsd(est, gt, gt, camera, (0.0141, 0.0142)) == pytest.approx([1, 0])

    def test_it_falls_with_tau_and_lies_between_0_and_1(self, rng):
        images = rng.uniform(0.98, 1.02, (3, 24, 32)) * (rng.random((3, 24, 32)) > 0.3)
        errors = metrics.vsd(*images, self.camera, np.linspace(0.001, 0.05, 10), delta_m=0.005)
        assert (np.diff(errors) <= 0).all() and errors.min() >= 0 and errors.max() <= 1

    def test_sizes_must_agree(self):
        with pytest.raises(
            BinposeError,
            match=r"renderings \(24, 32\) and \(24, 32\) with depth \(2, 2\)",
        ):
            self.vsd(self.square(), self.square(), np.zeros((2, 2)))


def test_area_under_the_curve_by_hand():
    # Errors of 0, 20 and 60 mm and a part never found: heights 1/4, 2/4, 3/4 from each error on, up to 100 mm.
    errors = np.array([0.06, np.inf, 0.0, 0.02])
    assert metrics.auc(errors) == pytest.approx((0.25 * 0.02 + 0.5 * 0.04 + 0.75 * 0.04) / 0.1)
    assert metrics.auc_ycb_video(errors) == pytest.approx((0.5 * 0.02 + 0.75 * 0.04 + 0.75 * 0.04) / 0.1)
    assert metrics.auc(errors, max_error=0.04) == pytest.approx((1 + 0.5) / 4)
    assert metrics.auc(np.array([np.inf])) == metrics.auc_ycb_video(np.array([0.2])) == 0
    assert np.isnan(metrics.auc(np.array([])))


def test_area_is_the_mean_recall_and_close_to_the_toolbox(rng):
    errors = rng.exponential(0.05, 400)
    thresholds = np.linspace(0, 0.1, 20001)[1:]
    integral = np.mean([metrics.recall(errors, threshold) for threshold in thresholds])
    assert metrics.auc(errors) == pytest.approx(integral, abs=1e-4)
    assert metrics.auc(errors) <= metrics.auc_ycb_video(errors) <= metrics.auc(errors) + 1 / len(errors)


def test_bop_thresholds_are_those_of_the_challenge():
    assert metrics.BOP_FRACTIONS == (
        0.05,
        0.1,
        0.15,
        0.2,
        0.25,
        0.3,
        0.35,
        0.4,
        0.45,
        0.5,
    )
    assert metrics.BOP_MSPD_PX == (5, 10, 15, 20, 25, 30, 35, 40, 45, 50)
    assert metrics.recall(np.array([0.1, 0.09, np.inf]), 0.1) == pytest.approx(1 / 3), "strictly below"
