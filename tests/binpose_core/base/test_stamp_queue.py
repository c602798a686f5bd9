import numpy as np

from binpose_core.base.stamp_queue import StampQueue


def queue(*stamps_ns: int) -> StampQueue[str]:
    held: StampQueue[str] = StampQueue()
    for stamp_ns in stamps_ns:
        held.add(stamp_ns, f"{stamp_ns}")
    return held


def test_the_nearest_within_the_slop_is_found(rng: np.random.Generator) -> None:
    for _ in range(50):
        stamps, wanted, slop = rng.integers(0, 100, 6).tolist(), int(rng.integers(100)), int(rng.integers(10))
        found = queue(*stamps).nearest_ns(wanted, slop)
        gap = min(abs(stamp - wanted) for stamp in stamps)
        assert (found is None) == (gap > slop) and (found is None or abs(found - wanted) == gap)


def test_of_equally_near_ones_the_first_is_taken() -> None:
    assert queue(12, 8).nearest_ns(10, 5) == 12 and queue(8, 12).nearest_ns(10, 5) == 8
    assert queue().nearest_ns(10, 5) is None


def test_what_is_taken_is_gone_also_of_two_with_one_stamp() -> None:
    held = queue(5, 7)
    held.add(5, "again")
    assert [held.take(5), held.take(5)] == ["5", "again"] and held.stamps_ns == [7]


def test_what_came_first_goes_first() -> None:
    held = queue(9, 3, 7)
    assert held.drop_oldest(5) == 0 and held.drop_oldest(2) == 1 and held.items == ["3", "7"]
    assert held.drop_before(7) == 1 and held.stamps_ns == [7] and len(held) == 1
