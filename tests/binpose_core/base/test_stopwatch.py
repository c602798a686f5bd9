import pytest

from binpose_core.base.stopwatch import Stopwatch


def test_calls_of_a_name_add_up_also_failed_ones() -> None:
    watch = Stopwatch()
    assert watch.around("a", lambda x: 2 * x)(3) == 6
    first = watch.seconds["a"]
    with pytest.raises(ZeroDivisionError):
        watch.around("a", lambda: 1 / 0)()
    assert watch.seconds["a"] > first > 0


def test_each_time_is_reported() -> None:
    reported: list[tuple[str, float]] = []
    watch = Stopwatch(report=lambda name, seconds: reported.append((name, seconds)))
    for name in "aba":
        watch.around(name, lambda: None)()
    assert [name for name, _ in reported] == ["a", "b", "a"]
    assert watch.seconds == {"a": reported[0][1] + reported[2][1], "b": reported[1][1]}
