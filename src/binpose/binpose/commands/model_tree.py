"""The models of a store as a tree: each below the one that it was trained from."""

from collections.abc import Iterator, Mapping
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import SHORT, ModelStore

COLUMNS = ("version", "alias", "data", "metrics", "verdict", "created")
DATA_KEYS = ("data_sha256", "data")
"""Entries of a header, or of its settings of a training, that hold the hash of the training data."""


def tree_rows(store: ModelStore, metrics_text: Any) -> Iterator[tuple[str, ...]]:
    """One row of COLUMNS per version, parents first; children are indented below their parent.

    Args:
        store: of the models.
        metrics_text: shortens the metrics of a header.
    """
    headers = {version: store.header(version) for version in store.versions()}
    aliases: dict[str, list[str]] = {}
    for alias, version in store.aliases().items():
        aliases.setdefault(version, []).append(alias)
    for version, depth in _ordered(headers):
        header = headers[version]
        yield (
            "  " * (depth - 1) + ("└ " if depth else "") + version[:SHORT],
            ", ".join(aliases.get(version, ())) or "-",
            data_hash(header)[:SHORT] or "-",
            metrics_text(header.get("metrics", {}), header.get("calibrated", True)),
            verdict_text(store, version),
            str(header["created"])[:16].replace("T", " "),
        )


def data_hash(header: Mapping[str, Any]) -> str:
    """The hash of the data that a model was trained on; empty where the header holds none."""
    for place in (header, header.get("self_training"), header.get("training")):
        for key in DATA_KEYS if isinstance(place, Mapping) else ():
            if isinstance(place.get(key), str):
                return str(place[key])
    return ""


def verdict_text(store: ModelStore, version: str) -> str:
    """The last verdict of the gate, against which version, and its first reason; a dash where there is none."""
    try:
        verdicts = store.verdicts(version)
    except BinposeError as error:
        return str(error)
    if not verdicts:
        return "-"
    last = verdicts[-1]
    reason = next(iter(last.get("reasons") or ()), "")
    against = f" over {str(last['champion'])[:SHORT]}" if last.get("champion") else ""
    return f"{last.get('decision', 'unknown')}{against}{': ' if reason else ''}{reason}"


def _ordered(headers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Versions with their depth, each parent before its children, siblings by age."""
    children: dict[str | None, list[str]] = {}
    for version, header in headers.items():
        parent = header["parent"]
        children.setdefault(parent if parent in headers else None, []).append(version)
    waiting = [(version, 0) for version in reversed(children.get(None, []))]
    while waiting:
        version, depth = waiting.pop()
        yield version, depth
        waiting += [(child, depth + 1) for child in reversed(children.get(version, []))]
