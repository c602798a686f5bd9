"""Messages of one image meet, whatever their order; what has no partner is counted; nothing piles up."""

import itertools

import numpy as np
import pytest

from binpose_ros.mailbox import FrameCounts
from binpose_ros.synchronizer import StampSynchronizer

MS = 1_000_000


def join(slop_ms: int = 5, keep: int = 30) -> tuple[StampSynchronizer, FrameCounts]:
    counts = FrameCounts()
    return StampSynchronizer("color", {"depth": slop_ms * MS, "mask": 0}, counts, keep), counts


def test_messages_without_partners_take_no_more_memory_than_they_may() -> None:
    counts = FrameCounts()
    joined = StampSynchronizer("color", {"depth": 0}, counts, keep=30, keep_bytes=1000)
    for number in range(10):
        joined.put("color", number * MS, bytes(400))
    assert counts.unmatched == 8
    assert joined.put("depth", 7 * MS, b"d") is None and joined.put("depth", 8 * MS, b"d") is not None
    joined.put("color", 20 * MS, bytes(5000))
    assert joined.put("depth", 20 * MS, b"d") is not None  # one message may be larger


def test_what_keeps_frames_from_being_complete_is_known() -> None:
    joined = StampSynchronizer("color", {"depth": 20 * MS, "mask": 0}, FrameCounts())
    assert joined.too_far() == {}
    for number in range(10):
        joined.put("color", number * 100 * MS, b"c")
        joined.put("depth", number * 100 * MS + 30 * MS, b"d")
    assert joined.too_far() == {"depth": 30 * MS}
    joined.put("mask", 500 * MS, b"m")
    assert joined.too_far() == {"depth": 30 * MS}
    joined.slops_ns["depth"] = 30 * MS
    assert joined.put("mask", 800 * MS, b"m") is not None and joined.too_far() == {}


@pytest.mark.parametrize("order", list(itertools.permutations(["color", "depth", "mask"])))
def test_the_order_of_arrival_does_not_matter(order: tuple[str, ...]) -> None:
    stamps = {"color": 100 * MS, "depth": 103 * MS, "mask": 100 * MS}
    joined, counts = join()
    results = [joined.put(topic, stamps[topic], f"{topic}!") for topic in order]
    assert results[:2] == [None, None]
    assert results[2] == {"color": "color!", "depth": "depth!", "mask": "mask!"}
    assert counts == FrameCounts()


def test_stamps_farther_apart_than_the_slop_do_not_meet() -> None:
    joined, _ = join(slop_ms=5)
    joined.put("color", 100 * MS, "c")
    joined.put("mask", 100 * MS, "m")
    assert joined.put("depth", 100 * MS + 5 * MS + 1, "too late") is None
    assert joined.put("depth", 105 * MS, "d") is not None


def test_the_nearest_partner_is_taken() -> None:
    joined, _ = join(slop_ms=5)
    for stamp, name in ((96, "far"), (101, "near"), (104, "farther")):
        joined.put("depth", stamp * MS, name)
    joined.put("mask", 100 * MS, "m")
    match = joined.put("color", 100 * MS, "c")
    assert match is not None and match["depth"] == "near"


def test_every_frame_of_a_stream_meets_once(rng: np.random.Generator) -> None:
    """Topics that lag behind each other by up to three frames."""
    arrivals = [
        (stamp + lag, topic, stamp)
        for stamp in range(0, 5000, 33)
        for topic, lag in zip(("color", "depth", "mask"), rng.uniform(0, 100, 3), strict=True)
    ]
    joined, counts = join()
    found = []
    for _, topic, stamp in sorted(arrivals):
        match = joined.put(topic, stamp * MS, (topic, stamp))
        if match is not None:
            assert {topic: (topic, match["color"][1]) for topic in match} == match
            found.append(match["color"][1])
    assert found == sorted(set(found))  # never back in time
    assert len(found) + counts.unmatched == len(range(0, 5000, 33))
    assert counts.restarts == 0


def test_half_of_the_messages_lost_are_counted_and_bounded(rng: np.random.Generator) -> None:
    joined, counts = join(keep=10)
    frames = complete = matches = 0
    for stamp in range(2000):
        kept = [topic for topic in ("depth", "mask", "color") if rng.random() < 0.5]
        frames += "color" in kept
        complete += len(kept) == 3
        matches += sum(joined.put(topic, stamp * 33 * MS, topic) is not None for topic in kept)
        assert all(len(held) <= 10 for held in joined._held.values())
    assert matches == complete
    assert 0 <= frames - matches - counts.unmatched <= 10


def test_a_jump_back_in_time_is_a_restart() -> None:
    joined, counts = join()
    for topic in ("color", "depth"):
        joined.put(topic, 100_000 * MS, topic)
    for topic in ("color", "depth"):
        assert joined.put(topic, 10 * MS, topic) is None
    assert joined.put("mask", 10 * MS, "mask") is not None
    assert (counts.restarts, counts.unmatched) == (1, 1)
    joined.put("color", 11 * MS, "after it was complete")
    joined.put("color", 10 * MS, "a little late")
    assert counts.restarts == 1
    for jump in (5_000, 1_000):
        joined.put("color", jump * MS, "color")
    assert counts.restarts == 2
