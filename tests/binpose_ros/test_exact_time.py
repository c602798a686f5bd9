"""message_filters puts together the same messages as our own synchronizer; skipped where it is not installed."""

import numpy as np
import pytest

pytest.importorskip("message_filters", reason="message_filters is not installed")

from binpose_ros.exact_time import ExactTime
from binpose_ros.mailbox import FrameCounts
from binpose_ros.message_types import ros_types
from binpose_ros.synchronizer import StampSynchronizer

MS = 1_000_000
TOPICS = ("poses", "detections", "mask")


def both(keep: int = 5) -> tuple[ExactTime, FrameCounts, StampSynchronizer, FrameCounts]:
    import message_filters

    ours, theirs = FrameCounts(), FrameCounts()
    exact = ExactTime(message_filters, TOPICS, keep, theirs, ros_types())
    return exact, theirs, StampSynchronizer("poses", {"detections": 0, "mask": 0}, ours, keep), ours


def test_a_stream_with_losses_meets_as_in_our_own_synchronizer(rng: np.random.Generator) -> None:
    exact, theirs, own, ours = both()
    complete, expected = [], []
    for number in range(1, 200):
        for topic in rng.permutation(TOPICS):
            if rng.random() < 0.2:
                continue
            data = f"{topic} {number}".encode()
            complete += [found.messages for found in exact.put(topic, number * 100 * MS, data)]
            match = own.put(topic, number * 100 * MS, data)
            expected += [match] if match else []
    assert complete == expected and len(complete) > 50
    assert theirs.unmatched == ours.unmatched > 10


def test_the_length_of_a_set_is_that_of_its_messages() -> None:
    exact, *_ = both()
    assert exact.put("mask", 100 * MS, bytes(7)) == [] and exact.put("detections", 100 * MS, bytes(5)) == []
    (found,) = exact.put("poses", 100 * MS, bytes(3))
    assert len(found) == 15 and found.stamp_ns == 100 * MS


def test_a_jump_back_in_time_drops_what_waits() -> None:
    exact, counts, *_ = both()
    for number in (100, 101):
        exact.put("poses", number * 1000 * MS, b"p")
    exact.put("mask", 100_000 * MS, b"m")
    for topic in ("poses", "mask"):
        assert exact.put(topic, 1000 * MS, b"new") == []
    (found,) = exact.put("detections", 1000 * MS, b"new")
    assert set(found.messages.values()) == {b"new"} and counts.unmatched == 2
    assert exact.put("detections", 1100 * MS, b"d") == []
