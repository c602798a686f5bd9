"""A tree of settings dataclasses as nested names and values: read, changed, and written with its descriptions."""

import difflib
import io
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import decode_text
from binpose_core.base.settings import descriptions

Settings = TypeVar("Settings")

COMMENT_WIDTH = 110
NULL = "tag:yaml.org,2002:null"
EXPECTED = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", type(None): "null"}


def with_values(settings: Settings, values: Mapping[str, Any], path: str = "") -> Settings:
    """The settings with other values at some names of their tree.

    Args:
        settings: a dataclass, whose fields may be dataclasses.
        values: nested as the tree is, as YAML has them: lists stand for tuples.
        path: of the settings in a larger tree, with a dot at its end, for messages.

    Raises:
        BinposeError: for an unknown name, a value of another type, and what the dataclasses refuse.
    """
    hints = get_type_hints(type(settings))
    known = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}  # type: ignore[arg-type]
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise BinposeError(_unknown(f"{path}{name}", str(name), [*known], path))
        if is_dataclass(known[name]):
            if not isinstance(value, Mapping):
                raise BinposeError(f"The setting {path}{name} is {value!r}; expected names and values below it.")
            changes[name] = with_values(known[name], value, f"{path}{name}.")
        else:
            changes[name] = _converted(value, hints[name], f"{path}{name}")
    return replace(settings, **changes)  # type: ignore[type-var]


def _unknown(full: str, name: str, known: Sequence[str], path: str) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.0)[0]
    return f"Unknown setting {full!r}; expected one of {', '.join(known)}; the nearest one is {path}{near}."


def _converted(value: Any, hint: Any, name: str) -> Any:
    """A value as its type hint wants it."""
    for kind in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if (fitting := _fitting(value, kind, name)) is not _NO_FIT:
            return fitting
    raise BinposeError(f"The setting {name} is {value!r}; expected {_expected(hint)}.")


_NO_FIT = object()


def _fitting(value: Any, kind: Any, name: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value if value in inner else _NO_FIT
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return _NO_FIT
        each = [inner[0]] * len(value) if inner[1:] == (...,) else list(inner)
        if len(each) != len(value):
            return _NO_FIT
        return tuple(
            _converted(item, one, f"{name}[{n}]") for n, (item, one) in enumerate(zip(value, each, strict=True))
        )
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind not in EXPECTED or type(value) is not kind:
        return _NO_FIT
    return value


def _expected(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(kind) for kind in inner)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple:
        many = inner[1:] == (...,)
        return (
            f"a list of {_expected(inner[0])}"
            if many
            else f"a list of {len(inner)}: {', '.join(map(_expected, inner))}"
        )
    return EXPECTED.get(hint, str(hint))


def plain(settings: Any) -> dict[str, Any]:
    """The whole tree as nested dictionaries, lists and scalars; the inverse of `with_values`."""
    return {entry.name: _plain(getattr(settings, entry.name)) for entry in fields(settings)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return plain(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def names(settings: Any, path: str = "") -> Iterator[str]:
    """The dotted names of all values in the tree."""
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            yield from names(value, f"{path}{entry.name}.")
        else:
            yield path + entry.name


def assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """Nested values from texts such as `pose.training.loop.learning_rate=1e-3`, whose values are YAML.

    Raises:
        BinposeError: for a text without a name and a value.
    """
    found: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        if not equals or not all(name.isidentifier() for name in path.split(".")):
            raise BinposeError(f"{text!r} assigns nothing; expected NAME=VALUE, such as detector.training.views=4.")
        nested = _loaded(value, f"The value of {text!r}")
        for name in reversed(path.split(".")):
            nested = {name: nested}
        found = merged(found, nested)
    return found


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Both, nested ones name by name; the others win."""
    result = dict(values)
    for name, value in others.items():
        inner = result.get(name)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[name] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """The nested names and values of a YAML file.

    Raises:
        BinposeError: if it cannot be read, or holds anything else.
    """
    try:
        text = decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise BinposeError(f"Could not read {path}: {reason}; expected a YAML file; check the path.") from error
    values = _loaded(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise BinposeError(f"{path} holds {type(values).__name__}; expected names and values; correct the file.")
    return values


def _loaded(text: str, source: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise BinposeError(f"{source} is no valid YAML ({reason}); expected names and values; correct it.") from error


def settings_yaml(settings: Any, title: str, without: Sequence[str] = ()) -> str:
    """The tree as YAML, each value below its description, without some of its first level's names."""
    document = _commented(settings, 0, without)
    document.yaml_set_start_comment(title)
    writer, stream = YAML(), io.StringIO()
    writer.width = 4096
    writer.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    writer.dump(document, stream)
    return stream.getvalue()


def _commented(settings: Any, indent: int, without: Sequence[str] = ()) -> CommentedMap:
    node, texts = CommentedMap(), descriptions(type(settings))
    for entry in [entry for entry in fields(settings) if entry.name not in without]:
        value = getattr(settings, entry.name)
        node[entry.name] = _commented(value, indent + 2) if is_dataclass(value) else _listed(_plain(value))
        if text := texts.get(entry.name):
            comment = textwrap.fill(text, COMMENT_WIDTH - indent)
            node.yaml_set_comment_before_after_key(entry.name, before=comment, indent=indent)
    return node


def _listed(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    sequence = CommentedSeq(value)
    sequence.fa.set_flow_style()
    return sequence
