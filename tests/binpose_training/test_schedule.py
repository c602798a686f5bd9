"""A training keeps to its minutes whatever its stages take, calibration included."""

from dataclasses import replace
from typing import Any

import pytest

from binpose_training.config import CalibrationJob, PoseJob, TrainConfig
from binpose_training.schedule import LEAST, StageSchedule


class Clock:
    """Stands still between two calls of `wait`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def run(
    schedule: StageSchedule, clock: Clock, *, overrun: dict[str, float], preparation_s: float = 0.0
) -> dict[str, float]:
    """The seconds that each stage of a whole training is given; some take a multiple of them."""
    given: dict[str, float] = {}
    with schedule.stage("preparation"):
        clock.wait(preparation_s)
    for name in TrainConfig().stages:
        with schedule.stage(name) as seconds:
            given[name] = seconds
            clock.wait(seconds * overrun.get(name, 1.0))
    return given


def test_without_surprises_each_stage_has_its_fraction() -> None:
    clock = Clock()
    given = run(StageSchedule(TrainConfig(minutes=10), clock=clock), clock, overrun={})
    expected = {"simulation": 60.0, "detector": 276.0, "pose": 204.0, "calibration": 60.0}
    assert given == pytest.approx(expected)
    assert clock.now - 1000.0 == pytest.approx(600.0)


@pytest.mark.parametrize("overrun", [{"simulation": 1.5}, {"detector": 1.2}, {"pose": 0.5}, {"pose": 1.2}])
@pytest.mark.parametrize("preparation_s", [0.0, 45.0])
def test_the_whole_keeps_to_its_minutes(overrun: dict[str, float], preparation_s: float) -> None:
    clock = Clock()
    schedule = StageSchedule(TrainConfig(minutes=10), clock=clock)
    run(schedule, clock, overrun=overrun, preparation_s=preparation_s)
    assert clock.now - 1000.0 == pytest.approx(600.0, abs=1.0)
    assert schedule.left_s == pytest.approx(0.0, abs=1.0)


def test_the_calibration_ends_with_the_budget() -> None:
    """Views take what they take: the last one may be late, the stage never more."""
    clock = Clock()
    schedule = StageSchedule(TrainConfig(minutes=10), clock=clock)
    for name in ("simulation", "detector", "pose"):
        with schedule.stage(name) as seconds:
            clock.wait(1.1 * seconds)
    done = {"calibration": 0, "scaling": 0, "evaluation": 0}
    with schedule.stage("calibration"):
        for kind, until in (("calibration", 0.5), ("scaling", 0.75), ("evaluation", 1.0)):
            for _ in schedule.limited(range(1000), until, least=2):
                clock.wait(0.5)
                done[kind] += 1
    assert 600.0 <= clock.now - 1000.0 <= 600.5
    assert min(done.values()) >= 2


def test_a_stage_that_has_no_time_left_keeps_a_part_of_what_it_was_meant_to_have() -> None:
    clock = Clock()
    schedule = StageSchedule(TrainConfig(minutes=10), clock=clock)
    given = run(schedule, clock, overrun={"detector": 10.0})
    assert given["calibration"] == pytest.approx(LEAST * 60.0)
    assert schedule.left_s == 0.0


def test_minutes_of_its_own_are_those_of_a_stage() -> None:
    clock = Clock()
    config = replace(TrainConfig(minutes=10), pose=PoseJob(minutes=4.0), calibration=CalibrationJob(minutes=1.0))
    given = run(StageSchedule(config, clock=clock), clock, overrun={})
    rest = 300.0 / 0.56
    assert given == pytest.approx(
        {"simulation": 0.1 * rest, "detector": 0.46 * rest, "pose": 240.0, "calibration": 60.0}
    )


def test_a_resumed_run_has_the_time_that_is_left() -> None:
    clock, kept = Clock(), dict[str, Any]()
    schedule = StageSchedule(TrainConfig(minutes=10), save=kept.update, clock=clock)
    with schedule.stage("simulation") as seconds:
        clock.wait(seconds)
    with pytest.raises(KeyboardInterrupt), schedule.stage("detector") as first:
        clock.wait(100.0)
        raise KeyboardInterrupt
    clock.wait(3600.0)  # Nobody trains meanwhile.
    resumed = StageSchedule(TrainConfig(minutes=10), kept, clock=clock)
    assert resumed.done("simulation") and not resumed.done("detector")
    assert resumed.left_s == pytest.approx(600.0 - 60.0 - 100.0)
    with resumed.stage("detector") as second:
        assert second == first, "the checkpoint counts in fractions of it"
        assert resumed.spent("detector") == pytest.approx(100.0 / first)
        clock.wait(first - 100.0)
    with resumed.stage("pose") as seconds:
        assert seconds == pytest.approx(204.0)


def test_a_killed_run_loses_seconds_alone() -> None:
    clock, kept = Clock(), dict[str, Any]()
    schedule = StageSchedule(TrainConfig(minutes=10), save=kept.update, clock=clock)
    with schedule.stage("simulation"):
        for _ in range(40):
            clock.wait(1.0)
            assert schedule.spent("simulation") <= 1.0
        assert 40.0 - kept["simulation"]["spent_s"] <= 6.0
