import numpy as np
import pytest

from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.kernels.suppression import explained_boxes, overlap_fractions
from binpose_refinement.suppression import CollisionCheck, PoseComparer

from .conftest import perturbed, pose

NAMES = ["cleat", "plate", "rod"]


def batch(name, poses, owner=None):
    owner = np.zeros(len(poses), np.int64) if owner is None else np.array(owner)
    return HypothesisBatch(owner, np.full(len(poses), NAMES.index(name)), np.array(poses), np.ones(len(poses)))


def test_the_best_different_poses_are_kept_per_detection(parts):
    rng = np.random.default_rng(0)
    T = pose(rng, parts["cleat"], (0, 0, 0.6))
    near, far = perturbed(rng, parts["cleat"], T, 2, 0.01), perturbed(rng, parts["cleat"], T, 90, 0)
    many = batch("cleat", [near, T, far, far, T], [0, 0, 0, 1, 1])
    kept = PoseComparer(parts).distinct(many, np.array([0.5, 0.9, 0.1, 0.3, 0.2]), 0.04, 4)
    assert kept.tolist() == [1, 2, 3, 4]
    assert PoseComparer(parts).distinct(many, np.array([0.5, 0.9, 0.1, 0.3, 0.2]), 0.04, 1).tolist() == [1, 3]


def test_the_best_pose_of_each_object_stays(parts):
    """Parts that look alike are compared until the end, however many poses of the other part are better."""
    rng = np.random.default_rng(0)
    T = pose(rng, parts["cleat"], (0, 0, 0.6))
    poses = [perturbed(rng, parts["cleat"], T, angle, 0.0) for angle in (0, 60, 120)]
    many = batch("cleat", poses).joined(batch("plate", [T, poses[1]]))
    kept = PoseComparer(parts).distinct(many, np.array([0.9, 0.8, 0.7, 0.1, 0.2]), 0.04, 2)
    assert kept.tolist() == [0, 1, 4]
    assert PoseComparer(parts).distinct(many, np.array([0.9, 0.8, 0.7, 0.1, 0.2]), 0.04, 2, 2).tolist() == [0, 1, 4, 3]


def test_rivals_are_poses_that_cannot_both_be_right(parts):
    rng = np.random.default_rng(0)
    T = pose(rng, parts["cleat"], (0, 0, 0.6))
    near, far = perturbed(rng, parts["cleat"], T, 2, 0.01), perturbed(rng, parts["cleat"], T, 90, 0)
    many = batch("cleat", [T, far, near, far], [0, 0, 0, 1]).joined(batch("plate", [T]))
    assert PoseComparer(parts).rivals(many, 0.1).tolist() == [[0, 1], [0, 4], [1, 2], [1, 4], [2, 4]]


def test_turns_about_an_axis_of_revolution_are_the_same_pose(parts):
    T = pose(np.random.default_rng(1), parts["rod"], (0, 0, 0.6))
    turned = T @ parts["rod"].symmetries.transforms(np.pi / 18)
    assert len(PoseComparer(parts).distinct(batch("rod", turned), np.linspace(1, 0, len(turned)), 0.04, 4)) == 1


def test_two_parts_in_one_place_intrude_and_two_that_touch_do_not(parts):
    collision_check, a, b = CollisionCheck(parts), np.eye(4), np.eye(4)
    b[2, 3] = 0.01  # the plate is 10 mm thick, below its stud
    b[0, 3] = 0.045  # beside the stud
    assert collision_check.intrusion(1, a, 1, a) == 1.0
    assert collision_check.intrusion(1, a, 1, b) < 0.05
    b[2, 3] = 0.003
    assert collision_check.intrusion(1, a, 1, b) > 0.05
    inside = np.eye(4)
    inside[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # the rod lies within the plate's height
    assert collision_check.intrusion(1, a, 2, inside) == collision_check.intrusion(2, inside, 1, a) > 0.2
    b[0, 3] = 5.0
    assert collision_check.intrusion(1, a, 1, b) == 0.0


def overlap_of(one, window, other, other_window):
    """The fraction of `overlap_fractions`, by painting both crops into an image."""
    images = []
    for pixels, (u0, v0, step) in ((one, window), (other, other_window)):
        image = np.zeros((200, 200), bool)
        for v, u in zip(*np.nonzero(pixels), strict=True):
            row, column = 60 + int(v0 + step * v), 60 + int(u0 + step * u)
            image[row : row + int(step), column : column + int(step)] = True
        images.append(image)
    common = []
    for k, (pixels, (u0, v0, step)) in enumerate(((one, window), (other, other_window))):
        rows, columns = np.nonzero(pixels)
        hit = images[1 - k][60 + (v0 + step * rows).astype(int), 60 + (u0 + step * columns).astype(int)]
        common.append(hit.mean() if len(hit) else 0.0)
    return max(common) if min(one.sum(), other.sum()) else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_overlaps_are_those_of_painted_crops(seed):
    rng = np.random.default_rng(seed)
    explained = (rng.random((4, 20, 20)) < 0.6).astype(np.uint8)
    explained[3, 5:] = 0
    windows = np.column_stack([rng.integers(-10, 30, (4, 2)), rng.integers(1, 4, 4)]).astype(float)
    boxes, totals = np.zeros((4, 4), np.int64), np.zeros(4, np.int64)
    explained_boxes(explained, windows, boxes, totals)
    np.testing.assert_array_equal(totals, explained.sum((1, 2)))
    pairs = np.argwhere(np.triu(np.ones((4, 4)), 1)).astype(np.int64)
    fractions = np.zeros(len(pairs))
    overlap_fractions(explained, windows, boxes, totals, pairs, fractions)
    expected = [overlap_of(explained[a], windows[a], explained[b], windows[b]) for a, b in pairs]
    np.testing.assert_allclose(fractions, expected)
