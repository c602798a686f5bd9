import numpy as np

from binpose_recording.messages import RawMessage
from binpose_recording.ring import RingBuffer

from .conftest import SECOND


def test_it_holds_the_last_seconds_and_never_more_bytes_than_it_may(rng):
    ring, sent = RingBuffer(seconds=2.0, megabytes=0.01), []
    for step in range(500):
        message = RawMessage("/a", step * SECOND // 20, bytes(int(rng.integers(0, 1500))))
        ring.append(message)
        sent.append(message)
        held = ring.messages()
        assert held == sent[len(sent) - len(held) :]  # The youngest, all of them, in order.
        assert ring.bytes_held == sum(len(item.data) for item in held) <= 10_000
        assert all(message.stamp_ns - item.stamp_ns <= 2 * SECOND for item in held)
        if len(held) < len(sent):  # One more would be too old or too much.
            extra = sent[-len(held) - 1]
            too_old = message.stamp_ns - extra.stamp_ns > 2 * SECOND
            assert too_old or ring.bytes_held + len(extra.data) > 10_000


def test_a_message_larger_than_the_buffer_is_not_held():
    ring = RingBuffer(1.0, 0.001)
    ring.append(RawMessage("/a", 0, bytes(np.uint16(500))))
    ring.append(RawMessage("/a", 1, bytes(2000)))
    assert ring.messages() == [] and ring.bytes_held == 0


def test_after_the_clock_was_set_back_only_what_came_since_is_held():
    ring = RingBuffer(2.0, 1.0)
    for stamp in (100, 101, 5, 6):
        ring.append(RawMessage("/a", stamp * SECOND, b"x"))
    assert [message.stamp_ns // SECOND for message in ring.messages()] == [5, 6]
