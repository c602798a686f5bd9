"""The evidence rewards right poses alone: nothing that a model says about itself raises it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3
from binpose_self_training.gate.evidence import EvidenceConfig, PairedEvidence, paired_evidence
from binpose_self_training.gate.judge import Judge

from .known_poses import moved, reported

BESIDE = (0.0, 0.045, 0.0)


@pytest.fixture
def compare(scenes: list[Any], judge: Judge) -> Any:
    """Compares two lists of poses on the first scene."""

    def call(champion: Sequence[PoseEstimate], candidate: Sequence[PoseEstimate]) -> PairedEvidence:
        return paired_evidence(scenes[0].frame, champion, candidate, judge)

    return call


def test_true_poses_are_all_verified_and_explain_the_bin(compare: Any, scenes: list[Any]) -> None:
    found = compare(reported(scenes[0]), reported(scenes[0]))
    assert found.places == found.champion.verified == found.candidate.verified == 3
    assert found.difference == 0.0 and found.champion.wrong == 0.0
    assert found.champion.explained_share > 0.9 and found.champion.agreement_share > 0.95
    assert 0.5 < found.champion.credit <= 1.0


def test_exchanged_models_have_exchanged_evidence(compare: Any, scenes: list[Any]) -> None:
    whole, few = reported(scenes[0]), reported(scenes[0])[:2]
    one, other = compare(whole, few), compare(few, whole)
    assert one.difference == -other.difference < 0.0


def test_each_part_that_is_found_counts(compare: Any, scenes: list[Any]) -> None:
    whole = reported(scenes[0])
    credits = [compare(whole, whole[:count]).candidate.credit for count in range(4)]
    assert credits == sorted(credits) and len(set(credits)) == 4 and credits[0] == 0.0


@pytest.mark.parametrize("score", [0.51, 1.0])
def test_the_scores_of_a_model_do_not_change_its_evidence(compare: Any, scenes: list[Any], score: float) -> None:
    whole = reported(scenes[0])
    assert compare(whole, reported(scenes[0], score)).difference == 0.0
    wrong = [*whole, *reported(scenes[0], score, BESIDE)]
    assert compare(whole, wrong).difference < -0.1


def test_a_model_that_reports_nothing_never_wins(compare: Any, scenes: list[Any]) -> None:
    for champion in (reported(scenes[0]), reported(scenes[0], 0.9, BESIDE), []):
        found = compare(champion, [])
        assert found.candidate.credit == 0.0 and found.difference <= 0.0


def test_a_model_that_reports_a_part_in_the_air_loses(compare: Any, scenes: list[Any]) -> None:
    whole = reported(scenes[0])
    in_the_air = [*whole, replace(whole[1], T_cam_obj=moved(whole[1].T_cam_obj, (-0.02, -0.03, -0.08)))]
    assert compare(whole, in_the_air).difference < 0.0


@pytest.mark.parametrize("claimed", [0.6, 0.8, 0.99])
def test_many_poses_in_one_place_lose_to_one(compare: Any, scenes: list[Any], claimed: float) -> None:
    whole = reported(scenes[0])
    crowd = [
        replace(
            pose, T_cam_obj=moved(pose.T_cam_obj, 0.0008 * np.random.default_rng(seed).normal(size=3)), score=claimed
        )
        for seed in range(5)
        for pose in whole
    ]
    found = compare(whole, crowd)
    assert found.places == 3 and found.candidate.wrong >= 12
    assert found.difference < -0.2


def test_the_best_of_many_guesses_is_not_chosen_for_a_model(compare: Any, scenes: list[Any]) -> None:
    """A model that reports the right pose and a wrong one in the same place, with equal scores, has not decided."""
    whole = reported(scenes[0])
    turned = np.array(whole[0].T_cam_obj)
    turned[:3, :3] = turned[:3, :3] @ exp_so3(np.array([[0.0, 0.0, np.pi]]))[0]
    guesses = [replace(whole[0], T_cam_obj=turned), *whole]
    assert compare(whole, guesses).difference < 0.0


def test_swapped_classes_lose(compare: Any, scenes: list[Any]) -> None:
    whole = reported(scenes[0])
    swapped = [replace(pose, object_id="rod" if pose.object_id == "step" else "step", score=0.99) for pose in whole]
    found = compare(whole, swapped)
    assert found.candidate.credit < 0.5 * found.champion.credit


def test_poses_that_are_slightly_off_earn_less(compare: Any, scenes: list[Any]) -> None:
    whole = reported(scenes[0])
    off = [compare(whole, reported(scenes[0], 0.8, (0.0, 0.0, z))).difference for z in (0.0, 0.001, 0.002, 0.004)]
    assert off[0] == 0.0 and off == sorted(off, reverse=True) and off[-1] < -0.1


def test_poses_that_cannot_be_drawn_are_no_error(compare: Any, scenes: list[Any]) -> None:
    whole = reported(scenes[0])
    behind, broken = moved(whole[0].T_cam_obj, (0, 0, -1)), np.full((4, 4), np.nan)
    strange = [replace(whole[0], T_cam_obj=T) for T in (behind, broken)] + [replace(whole[0], object_id="unknown")]
    assert compare(whole, [*whole, *strange]).difference == 0.0


def test_a_frame_without_depth_is_refused(scenes: list[Any], judge: Judge) -> None:
    frame = scenes[0].frame
    with pytest.raises(BinposeError, match="has no depth"):
        paired_evidence(RgbdFrame(frame.color, None, frame.camera), [], [], judge)


def test_weights_sum_to_one() -> None:
    with pytest.raises(BinposeError, match="sum to"):
        EvidenceConfig(verified=0.9)
