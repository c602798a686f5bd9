import numpy as np
import pytest

from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.observation import observe
from binpose_refinement.pairwise import compare_pairwise

from .conftest import TURN, draw

PAIR, NONE = np.array([[0, 1]]), np.zeros((0, 2), np.int64)


def fought(parts, T_first, T_second, scene):
    part_renderer = PartRenderer(parts, (5000,))
    batch = HypothesisBatch(
        np.zeros(2, np.int64), np.full(2, part_renderer.ids.index("plate")), np.stack([T_first, T_second]), np.ones(2)
    )
    windows = part_renderer.windows(batch, scene.frame.camera, 96, whole_steps=True)
    drawn = part_renderer.draw(batch, 0, windows, scene.frame.camera, 96)
    seen = observe(scene.frame, scene.detections, 2e-4)
    return compare_pairwise(drawn.depth_m, windows, batch.owner, batch.part, PAIR, seen.depth_m, seen.labels, 0.002)


def plate_with_stud(towards_camera):
    T = np.eye(4)
    T[:3, :3] = np.diag([1.0, -1.0, -1.0]) if towards_camera else np.eye(3)
    T[2, 3] = 0.6
    return T


def test_a_small_stud_decides_the_duel(parts):
    truth = plate_with_stud(towards_camera=True)
    margin, differing, _ = fought(parts, truth, truth @ TURN, draw(parts, ["plate"], [truth]))
    assert margin[0] > 0.5 and margin[1] == -margin[0]
    assert differing[0] > 2.0


def test_a_hidden_stud_decides_nothing(parts):
    truth = plate_with_stud(towards_camera=False)
    margin, differing, _ = fought(parts, truth, truth @ TURN, draw(parts, ["plate"], [truth]))
    assert np.abs(margin).max() < 0.1 and differing[0] < 1.2


@pytest.mark.parametrize(("behind_it_m", "least", "most"), [(0.45, 0.0, 0.0), (0.68, 0.5, 1.0)])
def test_a_stud_beyond_the_outline_speaks_against_a_pose_unless_a_neighbour_hides_it(behind_it_m, least, most):
    plain = np.zeros((40, 40), np.float32)
    plain[10:30, 10:30] = 0.6
    studded, seen, labels = plain.copy(), plain.copy(), np.where(plain > 0, 0, -1).astype(np.int32)
    studded[16:24, 30:36] = 0.6
    seen[16:24, 30:36] = behind_it_m
    windows, owner = np.array([[0, 0, 1.0]] * 2), np.zeros(2, np.int64)
    margin, _, _ = compare_pairwise(np.stack([plain, studded]), windows, owner, owner, PAIR, seen, labels, 0.002)
    assert least <= margin[0] <= most and margin[1] == -margin[0]


def test_without_a_rival_there_is_nothing_to_lose():
    one = np.zeros(1, np.int64)
    margin, _, kind = compare_pairwise(np.zeros((1, 8, 8), np.float32), np.array([[0, 0, 1.0]]), one, one, NONE,
                            np.zeros((8, 8), np.float32), np.zeros((8, 8), np.int32), 0.001)  # fmt: skip
    assert margin.tolist() == kind.tolist() == [1.0]


def test_only_rivals_of_another_object_count_for_the_kind():
    """Three poses of one detection: the first two are of one object, the third, which is wrong, of another."""
    seen = np.zeros((40, 40), np.float32)
    seen[10:30, 10:30] = 0.6
    longer = seen.copy()
    longer[10:30, 30:38] = 0.6
    shorter = seen.copy()
    shorter[10:30, 24:30] = 0.0
    labels, windows = np.where(seen > 0, 0, -1).astype(np.int32), np.array([[0, 0, 1.0]] * 3)
    background = np.where(seen > 0, seen, np.float32(0.8))
    owner, part = np.zeros(3, np.int64), np.array([0, 0, 1])
    margin, _, kind = compare_pairwise(
        np.stack([seen, shorter, longer]),
        windows,
        owner,
        part,
        np.array([[0, 1], [0, 2], [1, 2]]),
        background,
        labels,
        0.002,
    )
    assert margin[0] > 0.3 and kind[0] > 0.3  # the right pose beats both
    assert margin[0] > 0.3 and margin[1] < -0.3  # loses to the right pose, which is of its own object
    assert kind[1] > margin[1] + 0.2
    assert margin[2] == 1.0 and kind[2] < -0.3
