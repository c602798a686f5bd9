"""Compilations are reported, once per kernel."""

from numba import njit

from binpose_core.base.kernel_compilation import on_compilation


def test_each_kernel_is_reported_once_and_what_it_calls_is_not() -> None:
    @njit
    def inner(x):  # type: ignore[no-untyped-def]
        return x * 2

    @njit
    def outer(x):  # type: ignore[no-untyped-def]
        return inner(x) + 1

    @njit
    def other(x):  # type: ignore[no-untyped-def]
        return x

    seen: list[tuple[int, str]] = []
    with on_compilation(lambda number, name: seen.append((number, name))):
        assert outer(3) == 7 and other(1) == 1 and outer(4) == 9
    assert seen == [(1, "outer"), (2, "other")]
    other(1.5)
    assert len(seen) == 2, "after the block nothing is reported"
