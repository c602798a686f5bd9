"""The newest item is taken, and what was not taken is counted."""

import threading
from typing import Any

from binpose_ros.mailbox import FrameCounts, Mailbox


def test_the_worker_gets_the_newest_and_the_others_are_counted() -> None:
    box: Mailbox[int] = Mailbox(FrameCounts())
    for number in range(5):
        box.put(number)
    assert box.take() == 4
    assert box.counts.dropped == 4


def test_a_waiting_worker_is_woken_by_an_item_and_by_the_end() -> None:
    box: Mailbox[Any] = Mailbox(FrameCounts())
    taken: list[Any] = []
    worker = threading.Thread(target=lambda: taken.extend(iter(box.take, None)))
    worker.start()
    box.put("frame")
    while not taken:
        pass
    box.close()
    worker.join(timeout=5)
    assert not worker.is_alive() and taken == ["frame"]
