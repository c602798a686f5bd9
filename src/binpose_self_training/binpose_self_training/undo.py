"""Undoes a self-training that was cancelled: its students, its candidate and its folder are gone as if it never ran."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json
from binpose_core.learning.model_store import ModelStore
from binpose_core.learning.store_records import CANDIDATE, self_training_lock

SELF_TRAINED = "self_training"
"""Entry of a student's header."""


@dataclass(frozen=True)
class StoreState:
    """The versions and aliases of a model store at one time."""

    versions: frozenset[str]
    aliases: Mapping[str, str]

    @classmethod
    def of(cls, directory: Path) -> "StoreState":
        """The state now.

        Raises:
            BinposeError: for a damaged store.
        """
        store = ModelStore(directory)
        return cls(frozenset(store.versions()), store.aliases())


def undo(directory: Path, before: StoreState, run: Path) -> None:
    """Bring a model store back to its state before a run that no longer works in it, and delete the run's folder.

    Versions of other programs stay, and so does a student that was promoted meanwhile.

    Args:
        directory: of the store.
        before: state when the run began.
        run: folder of the run.

    Raises:
        BinposeError: when another self-training works in the store, or it cannot be written to.
    """
    with self_training_lock(directory, "undoing a self-training"):
        store = ModelStore(directory)
        candidate = before.aliases.get(CANDIDATE)
        if store.aliases().get(CANDIDATE) != candidate:
            store.nominate(candidate)
        named = set(store.aliases().values())
        for version in _students(store, before, run):
            if version not in named:
                store.remove(version)
        shutil.rmtree(run, ignore_errors=True)


def _students(store: ModelStore, before: StoreState, run: Path) -> Iterable[str]:
    """Versions that the run has saved: those that its rounds name, and one of a round that is not complete."""
    recorded = {_student(file) for file in run.glob("round_*/round.json")}
    known = set(store.versions())
    new = {version for version in known - before.versions if SELF_TRAINED in store.header(version)}
    return sorted((recorded & known) | new)


def _student(file: Path) -> str:
    try:
        return str(read_json(file).get("student", ""))
    except BinposeError:  # damaged: the student is among the new versions, or stays
        return ""
