"""A tree of settings is read, changed and written; what it does not have is refused with the nearest name."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from binpose_core.base.config_tree import assigned, merged, names, plain, settings_yaml, with_values
from binpose_core.base.errors import BinposeError


@dataclass(frozen=True)
class Inner:
    """How fine.

    views: per batch. crops: windows cut
        from each.
    gsd, limit: both of them.
    """

    views: int = 3
    crops: int = 4
    gsd: tuple[float, float] = (0.5, 2.0)
    limit: float | None = None
    kind: Literal["fine", "coarse"] = "fine"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    """minutes: in all."""

    minutes: float = 5.0
    inner: Inner = field(default_factory=Inner)


def test_values_of_a_tree_come_back() -> None:
    changed = Outer(2.5, Inner(1, 2, (0.25, 1.0), 0.1, "coarse", ("a", "b")))
    assert with_values(Outer(), plain(changed)) == changed
    assert with_values(Outer(), {}) == Outer()


def test_names_are_those_of_the_values() -> None:
    assert list(names(Outer())) == [
        "minutes", "inner.views", "inner.crops", "inner.gsd", "inner.limit", "inner.kind", "inner.names",
    ]  # fmt: skip


def test_assignments_are_yaml() -> None:
    texts = ["minutes=3", "inner.limit=1e-3", "inner.gsd=[1, 2.5]", "inner.kind=coarse", "inner.names=[a]"]
    assert with_values(Outer(), assigned(texts)) == Outer(3.0, Inner(3, 4, (1.0, 2.5), 1e-3, "coarse", ("a",)))
    assert with_values(Outer(inner=Inner(limit=1.0)), assigned(["inner.limit=null"])).inner.limit is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("inner.crop=3", r"'inner.crop'; expected one of views, crops, .* nearest one is inner.crops"),
        ("inner.views=2.5", "inner.views is 2.5; expected a whole number"),
        ("inner.views=true", "inner.views is True; expected a whole number"),
        ("inner.gsd=[1]", "expected a list of 2: a number, a number"),
        ("inner.gsd=[1, x]", r"inner.gsd\[1\] is 'x'; expected a number"),
        ("inner.kind=rough", "expected 'fine' or 'coarse'"),
        ("inner.limit=x", "expected a number or null"),
        ("inner=3", "expected names and values below it"),
        ("inner.gsd=[1,", "no valid YAML"),
        ("inner", "assigns nothing"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(text: str, message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        with_values(Outer(), assigned([text]))


def test_merging_keeps_what_the_others_do_not_name() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}}) == {
        "a": {"b": 4, "c": 2}, "d": {"e": 5},
    }  # fmt: skip


def test_yaml_shows_each_description_above_its_value() -> None:
    assert settings_yaml(Outer(), "Settings.", without=("minutes",)) == (
        "# Settings.\n"
        "inner:\n"
        "  # per batch.\n"
        "  views: 3\n"
        "  # windows cut from each.\n"
        "  crops: 4\n"
        "  # both of them.\n"
        "  gsd: [0.5, 2.0]\n"
        "  # both of them.\n"
        "  limit: null\n"
        "  kind: fine\n"
        "  names: []\n"
    )
