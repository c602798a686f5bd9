"""Figures of reported poses without labels: shown over the last frames, with a warning when they drop."""

from typing import Any

import numpy as np
import pytest

from binpose_core.base.reasons import Reason
from binpose_core.frames.types import PoseEstimate
from binpose_ros.agreement import FEWEST, FRAMES, Agreement


def poses(*agreements: float, **residuals: float) -> list[PoseEstimate]:
    return [PoseEstimate("bolt", np.eye(4), 0.9, residuals={"depth_agreement": a, **residuals}) for a in agreements]


def reasons(agreement: Agreement) -> list[Reason]:
    return [problem.reason for problem in agreement.problems()]


def test_without_figures_nothing_is_shown_and_nothing_is_wrong() -> None:
    agreement = Agreement()
    assert agreement.values() == {} and agreement.problems() == []
    agreement.add([PoseEstimate("bolt", np.eye(4), 0.9)] * 20)
    agreement.add(poses(float("nan")))
    assert agreement.values() == {} and agreement.problems() == []


def test_the_consistent_ones_are_counted_over_the_frames() -> None:
    agreement = Agreement()
    agreement.add(poses(0.95, 0.8, 0.79))
    agreement.add(poses(1.0))
    assert agreement.values() == {"consistent_with_depth": "3 of 4"}


def test_too_few_consistent_ones_are_a_warning_until_the_frames_are_better() -> None:
    agreement = Agreement()
    agreement.add(poses(0.1) * (FEWEST - 1))
    assert reasons(agreement) == [], "too few poses for a warning"
    agreement.add(poses(0.1))
    assert reasons(agreement) == [Reason.INCONSISTENT_WITH_DEPTH]
    assert f"0 of {FEWEST}" in agreement.problems()[0].message
    for _ in range(FRAMES):
        agreement.add(poses(0.95))
    assert reasons(agreement) == []
    assert agreement.values() == {"consistent_with_depth": f"{FRAMES} of {FRAMES}"}


@pytest.mark.parametrize(("consistent", "warned"), [(7, True), (8, False)])
def test_the_limit_is_four_fifths(consistent: int, warned: bool) -> None:
    agreement = Agreement()
    agreement.add(poses(*[0.9] * consistent, *[0.2] * (10 - consistent)))
    assert bool(agreement.problems()) == warned


@pytest.mark.parametrize(("unlike", "warned"), [(5, False), (6, True)])
def test_most_poses_unlike_the_samples_are_a_warning(unlike: int, warned: bool) -> None:
    agreement = Agreement()
    agreement.add(poses(0.9, out_of_distribution=1.0) * unlike + poses(0.9, out_of_distribution=0.0) * (10 - unlike))
    assert (Reason.OUT_OF_DISTRIBUTION in reasons(agreement)) == warned
    shown = agreement.values()
    assert shown["out_of_distribution"] == shown["out_of_distribution_last"] == f"{unlike / 10:.2f}"


def test_an_activation_forgets_them(types: Any) -> None:
    from binpose_ros.monitor import Monitor

    monitor = Monitor()
    monitor.reported(poses(0.1) * FEWEST)
    assert Reason.INCONSISTENT_WITH_DEPTH in [problem.reason for problem in monitor.problems()]
    monitor.starts()
    assert Reason.INCONSISTENT_WITH_DEPTH not in [problem.reason for problem in monitor.problems()]
