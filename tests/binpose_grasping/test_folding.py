import numpy as np
import pytest

from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.parts.grasps import PARALLEL, SUCTION, GraspSet
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries, rotations_about
from binpose_grasping.folding import expand, fold

X, Y, Z = np.eye(3)
NONE = Symmetries.none()
QUARTERS = Symmetries(rotations_about(Z, np.zeros(3), np.arange(4) * np.pi / 2), (), np.zeros((0, 4, 4)))
ROUND = Symmetries(np.eye(4)[None], (ContinuousSymmetry(Z, np.array([0.01, 0.0, 0.0])),), np.zeros((0, 4, 4)))


def grasps(T: np.ndarray, tool: int = 0) -> GraspSet:
    count = len(T)
    quality = np.linspace(0.9, 0.1, count)
    contacts = np.stack([T[:, :3, 3] - 0.01 * T[:, :3, 1], T[:, :3, 3] + 0.01 * T[:, :3, 1]], 1)
    return GraspSet(T, np.full(count, 0.02), quality, quality, contacts, np.full(count, tool, np.uint8))


def random_grasps(rng: np.random.Generator, count: int) -> np.ndarray:
    return from_rotation_translation(random_rotation(rng, (count,)), rng.uniform(-0.05, 0.05, (count, 3)))


@pytest.mark.parametrize("symmetries", [NONE, QUARTERS, ROUND])
def test_folding_what_was_expanded_keeps_one_representative_of_each(
    rng: np.random.Generator, symmetries: Symmetries
) -> None:
    some = grasps(random_grasps(rng, 12))
    alone = fold(some, symmetries, 0.002, 0.1, 100)
    again = fold(expand(alone, symmetries)[0], symmetries, 0.002, 0.1, 10_000)
    assert len(alone) == 12
    assert len(again) == len(alone)
    np.testing.assert_allclose(again.T_obj_hand, alone.T_obj_hand, atol=1e-12)


def test_expanding_gives_all_copies_and_says_of_what(rng: np.random.Generator) -> None:
    T = random_grasps(rng, 3)
    every, owner, motion = expand(grasps(T), QUARTERS)
    assert len(every) == 3 * 4
    for n in range(len(every)):
        np.testing.assert_allclose(every.T_obj_hand[n], QUARTERS.discrete[motion[n]] @ T[owner[n]], atol=1e-12)
    assert len({(int(a), int(b)) for a, b in zip(owner, motion, strict=True)}) == 12
    assert len(expand(grasps(T), ROUND, np.deg2rad(30))[0]) == 3 * 12


def test_contacts_go_along_with_their_copies(rng: np.random.Generator) -> None:
    every = expand(grasps(random_grasps(rng, 4)), QUARTERS)[0]
    closing = every.contacts_m[:, 1] - every.contacts_m[:, 0]
    np.testing.assert_allclose(closing / 0.02, every.T_obj_hand[:, :3, 1], atol=1e-9)
    np.testing.assert_allclose(every.contacts_m.mean(axis=1), every.T_obj_hand[:, :3, 3], atol=1e-12)


def test_the_better_one_of_two_similar_grasps_is_kept_and_tools_are_not_mixed(rng: np.random.Generator) -> None:
    T = random_grasps(rng, 1)
    near = T.copy()
    near[:, 0, 3] += 0.001
    both = grasps(np.concatenate([T, near]))
    kept = fold(both, NONE, 0.002, 0.1, 10)
    np.testing.assert_allclose(kept.T_obj_hand, T)
    assert len(fold(both, NONE, 0.0005, 0.1, 10)) == 2
    mixed = grasps(T).joined(grasps(T, SUCTION))
    assert len(fold(mixed, NONE, 0.002, 0.1, 10)) == 2
    assert len(fold(grasps(random_grasps(rng, 30)), NONE, 0.0, 0.0, 7)) == 7


def test_hands_on_one_closing_line_are_one_grasp_and_others_are_not(rng: np.random.Generator) -> None:
    T = random_grasps(rng, 1)

    def kept(axis: np.ndarray, angle_rad: float, tool: int = PARALLEL) -> int:
        turn = rotations_about(axis, np.zeros(3), np.array([angle_rad]))[0]
        return len(fold(grasps(np.concatenate([T, T @ turn]), tool), NONE, 0.002, 0.1, 10))

    assert kept(Y, 0.7) == 1  # about the closing line
    assert kept(Z, np.pi) == 1  # the fingers are exchanged
    assert kept(Z, np.pi / 2) == kept(X, 0.7) == 2
    assert kept(Z, np.pi / 2, SUCTION) == 1 and kept(Y, 0.7, SUCTION) == 2
