import numpy as np

from binpose_core.frames.types import Grasp
from binpose_grasping.stability import GraspMemory


def grasp(x_m: float, score: float, object_id: str = "cog") -> Grasp:
    T = np.eye(4)
    T[0, 3] = x_m
    return Grasp(object_id, T, 0.02, score, T, T, 0)


def test_the_best_grasp_stays_until_another_one_is_clearly_better() -> None:
    memory = GraspMemory()
    assert memory.best_kept([grasp(0.0, 0.8), grasp(0.1, 0.7)], 0.1)[0].score == 0.8
    order = memory.best_kept([grasp(0.1, 0.82), grasp(0.001, 0.8)], 0.1)
    assert [entry.score for entry in order] == [0.8, 0.82]
    order = memory.best_kept([grasp(0.1, 0.95), grasp(0.002, 0.8)], 0.1)
    assert [entry.score for entry in order] == [0.95, 0.8]
    assert memory.best_kept([grasp(0.0, 0.96), grasp(0.1, 0.95)], 0.1)[0].score == 0.95


def test_a_grasp_that_is_gone_another_part_and_zero_keep_the_order() -> None:
    memory = GraspMemory()
    memory.best_kept([grasp(0.0, 0.8)], 0.1)
    assert memory.best_kept([grasp(0.1, 0.5), grasp(0.0, 0.49, "nut")], 0.1)[0].score == 0.5
    assert memory.best_kept([], 0.1) == []
    assert memory.best_kept([grasp(0.2, 0.5), grasp(0.1, 0.49)], 0.0)[0].score == 0.5
    memory.best_kept([grasp(0.3, 0.5)], 0.1)
    memory.forget()
    assert memory.best_kept([grasp(0.2, 0.5), grasp(0.3, 0.49)], 0.1)[0].score == 0.5
