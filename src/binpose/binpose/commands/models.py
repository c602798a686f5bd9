"""`binpose models`: list stored models, and choose the one in use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from binpose.commands.command import Command, console
from binpose.commands.model_tree import COLUMNS, tree_rows
from binpose_core.base.errors import BinposeError, NoModel
from binpose_core.learning.model_header import OWN_KEYS
from binpose_core.learning.model_store import SHORT, ModelStore

LISTED = ("model", "version", "parent", "parts", "metrics", "MB", "created")


@dataclass(frozen=True, kw_only=True)
class Models(Command):
    """List the stored models: versions, parents, parts, metrics, dates; or choose the one in use.

    Example: binpose models models/wrs --tree

    Another version in use: binpose models models/wrs --promote candidate
    """

    path: Annotated[Path, tyro.conf.Positional] = Path("models")
    """Folder of a model, folder of several models, or the name of a shipped model."""
    reseal: bool = False
    """Save models of earlier releases again, with a version that covers the header; the old files stay."""

    tree: bool = False
    """Show each model below its parent, with alias, data, metrics and the verdict of the gate."""
    promote: str | None = None
    """Put a version in use: its first digits, or candidate or previous."""
    rollback: bool = False
    """Put the previous version in use again."""

    def run(self) -> int:
        """Print one line per version."""
        from binpose_pipeline.bundle import shipped_or_own

        stores = list(find_stores(shipped_or_own(self.path)))
        if not stores:
            raise NoModel(
                f"No models in {self.path}; expected folders with weights-*.safetensors; train one with "
                "`binpose train --objects a,b --out models/x`.",
                self.path,
            )
        uncovered = [(store, version) for store in stores for version in uncovered_versions(store)]
        for store, version in uncovered if self.reseal else ():
            console.print(f"{version[:SHORT]} is saved again as {store.reseal(version)[:SHORT]}.", markup=False)
        self._choose(stores)
        if self.tree:
            for store in stores:
                console.print(str(store.directory))
                _print_table(COLUMNS, tree_rows(store, metrics_text))
        else:
            _print_table(LISTED, (row for store in stores for row in store_rows(store)))
        if uncovered and not self.reseal:
            names = ", ".join(version[:SHORT] for _, version in uncovered)
            console.print(
                f"The version does not cover the header of {names}, saved by an earlier release, so changes of the "
                "header are not detected. `binpose models --reseal` saves such models again.",
                markup=False,
            )
        if damages := [damage for store in stores for damage in store.damages()]:
            raise BinposeError(" ".join(damages))
        return 0

    def _choose(self, stores: Sequence[ModelStore]) -> None:
        """Put another version in use, where that was asked for."""
        if self.promote is None and not self.rollback:
            return
        if len(stores) > 1 or (self.promote is not None and self.rollback):
            names = ", ".join(store.directory.name for store in stores)
            raise BinposeError(
                f"--promote or --rollback with the models {names}; expected one of both options and one model; give "
                "its own folder."
            )
        store, before = stores[0], stores[0].current()
        if self.promote is not None:
            version = store.resolve(self.promote)
            proven = before is None or version == before or store.promoted_over(version, before)
            store.promote(version)
            note = "" if proven else " No verdict of the gate promotes it over the version before."
        else:
            version, note = store.rollback(), ""
        was = f", before {before[:SHORT]}" if before else ""
        console.print(f"{version[:SHORT]} is in use{was}.{note}")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name == "version")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def find_stores(path: Path) -> Iterator[ModelStore]:
    """The model stores in a folder, itself included."""
    for directory in (path, *sorted(child for child in path.glob("*") if child.is_dir())):
        if any(directory.glob("weights-*.json")):
            yield ModelStore(directory)


def uncovered_versions(store: ModelStore) -> list[str]:
    """The versions of earlier releases whose hash does not cover the header, unless they were saved again."""
    covered = [version for version in store.versions() if store.covers_header(version)]
    sealed = [_content(store.header(version)) for version in covered]
    return [
        version
        for version in store.versions()
        if version not in covered and _content(store.header(version)) not in sealed
    ]


def _content(header: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key not in OWN_KEYS}


def store_rows(store: ModelStore) -> Iterator[tuple[str, ...]]:
    """One row per version, oldest first; the current one is marked."""
    current = store.current()
    for version in store.versions():
        header = store.header(version)
        yield (
            store.directory.resolve().name,
            version[:SHORT] + (" *" if version == current else ""),
            (header["parent"] or "-")[:SHORT],
            ", ".join(str(entry["id"]) for entry in header.get("objects", [])) or "-",
            metrics_text(header.get("metrics", {}), header.get("calibrated", True)),
            f"{header['bytes'] / 1e6:.1f}",
            str(header["created"])[:16].replace("T", " "),
        )


def metrics_text(metrics: Mapping[str, Any], calibrated: bool = True) -> str:
    """Recall and precision over all objects, or all single numbers; and a remark if the scores are not calibrated."""
    overall = metrics.get("objects", {}).get("all", {})
    chosen = {name: overall[name] for name in ("recall", "precision") if overall.get(name) is not None} or metrics
    numbers = [f"{name} {value:.3g}" for name, value in chosen.items() if isinstance(value, int | float)]
    return ", ".join(numbers if calibrated else [*numbers, "not calibrated"]) or "-"
