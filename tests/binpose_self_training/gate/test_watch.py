"""A model that keeps within the band is left alone; one that leaves it is reported soon, with the reason."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import PoseEstimate
from binpose_self_training.gate.watch import Band, Watch, WatchConfig, WatchedFrame, watched


def frames(
    seed: int, count: int, confirmed: float = 6.0, unexplained: float = 0.2, slower: float = 1.0, fails: float = 0.05
) -> list[WatchedFrame]:
    rng = np.random.default_rng(seed)
    return [
        WatchedFrame(
            int(rng.poisson(confirmed)),
            float(np.clip(rng.normal(unexplained, 0.1), 0, 1)),
            float(slower * rng.lognormal(-1.6, 0.2)),
            (bool(rng.random() < fails),),
        )
        for _ in range(count)
    ]


def alarm_after(band: Band, found: list[WatchedFrame]) -> tuple[int, str]:
    watch = Watch(band)
    for number, frame in enumerate(found):
        if reason := watch(frame):
            return number + 1, reason
    return 0, ""


@pytest.fixture(scope="module")
def band() -> Band:
    return Band.of(frames(0, 200))


def test_the_same_model_raises_no_alarm(band: Band) -> None:
    alarms = [alarm_after(band, frames(seed, 150))[0] for seed in range(1, 31)]
    assert sum(after > 0 for after in alarms) <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"confirmed": 1.5}, "poses that the depth confirms"),
        ({"unexplained": 0.7}, "unexplained fraction"),
        ({"slower": 2.0}, "take longer"),
        ({"fails": 0.7}, "failed picks"),
    ],
)
def test_each_kind_of_decline_is_reported_with_its_reason(band: Band, change: dict[str, float], words: str) -> None:
    for seed in range(40, 45):
        after, reason = alarm_after(band, frames(seed, 100, **change))
        assert 0 < after <= 60 and words in reason and f"after {after} frames" in reason


def test_an_empty_model_is_reported_at_once(band: Band) -> None:
    after, _ = alarm_after(band, [WatchedFrame(0, 1.0, 0.1)] * 50)
    assert 0 < after <= 15


def test_a_better_model_raises_no_alarm(band: Band) -> None:
    assert alarm_after(band, frames(7, 150, confirmed=9.0, unexplained=0.05, slower=0.5, fails=0.0)) == (0, "")


def test_unknown_values_are_left_out(band: Band) -> None:
    assert alarm_after(band, [WatchedFrame(6)] * 100) == (0, "")


def test_picks_are_not_watched_without_any_of_the_model_before() -> None:
    """A robot that fails at a third of the picks may have failed as often before."""
    band = Band.of([replace(frame, failed=()) for frame in frames(0, 200)])
    assert alarm_after(band, frames(5, 150, fails=0.35)) == (0, "")


def test_a_frame_may_have_several_picks(band: Band) -> None:
    three = [replace(frame, failed=(True, False, True)) for frame in frames(5, 40)]
    single = [replace(frame, failed=(True,)) for frame in frames(5, 40)]
    assert 0 < alarm_after(band, three)[0] <= 20 and 0 < alarm_after(band, single)[0] <= 20


def test_a_band_needs_enough_frames() -> None:
    with pytest.raises(BinposeError, match="expected at least 20"):
        Band.of(frames(0, 19))
    with pytest.raises(BinposeError):
        WatchConfig(alpha=0.0)


def test_only_poses_that_the_depth_confirms_are_counted() -> None:
    poses = [PoseEstimate("rod", np.eye(4), 0.9, residuals={"depth_agreement": value}) for value in (0.9, 0.95, 0.3)]
    assert watched([*poses, PoseEstimate("rod", np.eye(4), 0.9)], 0.1, 0.2).confirmed == 2
