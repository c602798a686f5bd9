import numpy as np

from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.duel import duels
from binpose_refinement.observation import observe

from .conftest import TURN, draw


def fought(parts, T_first, T_second, scene):
    workshop = Workshop(parts, (5000,))
    batch = Batch(
        np.zeros(2, np.int64), np.full(2, workshop.ids.index("plate")), np.stack([T_first, T_second]), np.ones(2)
    )
    windows = workshop.windows(batch, scene.frame.camera, 96, whole_steps=True)
    drawn = workshop.draw(batch, 0, windows, scene.frame.camera, 96)
    seen = observe(scene.frame, scene.detections, 2e-4)
    return duels(drawn.depth_m, windows, batch.owner, seen.depth_m, seen.labels, 0.002)


def plate_with_stud(towards_camera):
    T = np.eye(4)
    T[:3, :3] = np.diag([1.0, -1.0, -1.0]) if towards_camera else np.eye(3)
    T[2, 3] = 0.6
    return T


def test_a_small_stud_decides_the_duel(parts):
    truth = plate_with_stud(towards_camera=True)
    margin, differing = fought(parts, truth, truth @ TURN, draw(parts, ["plate"], [truth]))
    assert margin[0] > 0.5 and margin[1] == -margin[0]
    assert differing[0] > 2.0


def test_a_hidden_stud_decides_nothing(parts):
    truth = plate_with_stud(towards_camera=False)
    margin, differing = fought(parts, truth, truth @ TURN, draw(parts, ["plate"], [truth]))
    assert np.abs(margin).max() < 0.1 and differing[0] < 1.2


def test_without_a_rival_there_is_nothing_to_lose():
    margin, _ = duels(np.zeros((1, 8, 8), np.float32), np.array([[0, 0, 1.0]]), np.zeros(1, np.int64),
                      np.zeros((8, 8), np.float32), np.zeros((8, 8), np.int32), 0.001)  # fmt: skip
    assert margin.tolist() == [1.0]
