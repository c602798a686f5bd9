"""Which version of a model store is in use: promotion of what the gate has promoted, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError, NoModel
from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_core.learning.store_records import CANDIDATE, CHAMPION, PREVIOUS


@dataclass(frozen=True)
class StoreStatus:
    """What a model store has in use.

    champion, candidate, previous: versions; empty where there is none. parent: of the champion.
    verdict: the newest one about the candidate, or about the champion where there is no candidate.
    """

    champion: str = ""
    candidate: str = ""
    previous: str = ""
    parent: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, directory: Path) -> "StoreStatus":
        """The status now.

        Raises:
            BinposeError: for a damaged store.
        """
        store = ModelStore(directory)
        aliases = store.aliases()
        about = aliases.get(CANDIDATE) or aliases.get(CHAMPION)
        verdicts = store.verdicts(about) if about else []
        champion = aliases.get(CHAMPION, "")
        parent = store.header(champion).get("parent") if champion else None
        return cls(
            champion, aliases.get(CANDIDATE, ""), aliases.get(PREVIOUS, ""), parent or "",
            verdicts[-1] if verdicts else {},
        )  # fmt: skip

    def message(self, directory: Path) -> dict[str, Any]:
        """Fields of a binpose_interfaces/ModelStatus."""
        location = directory / f"weights-{self.champion[:SHORT]}.safetensors" if self.champion else ""
        verdict = {name: self.verdict[name] for name in ("decision", "reasons", "champion") if name in self.verdict}
        return {
            "version": self.champion, "parent": self.parent, "previous": self.previous, "location": str(location),
            "metrics": {CANDIDATE: self.candidate, "verdict": verdict},
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """It in words."""
        named = {CHAMPION: self.champion, CANDIDATE: self.candidate, PREVIOUS: self.previous}
        words = ", ".join(f"{name} {version[:SHORT] or 'none'}" for name, version in named.items())
        if not self.verdict:
            return f"{words}; no verdict."
        reasons = " ".join(self.verdict.get("reasons", ()))
        return f"{words}; last verdict: {self.verdict.get('decision')}. {reasons}".strip()


def promote_proven(directory: Path, version: str = "") -> str:
    """Put a version in use that the gate has promoted over the one in use; returns it.

    Args:
        directory: of the model store.
        version: its first digits or an alias; the candidate when empty.

    Raises:
        BinposeError: for a version that is not known, or that the gate has not promoted over the one in use.
    """
    store = ModelStore(directory)
    champion, wanted = store.current(), store.resolve(version or CANDIDATE)
    if champion is None:
        raise NoModel(f"No version in {directory} is in use; expected one; promote one by name.", directory)
    if wanted == champion:
        return wanted
    if not store.promoted_over(wanted, champion):
        raise BinposeError(
            f"The gate has not promoted {wanted[:SHORT]} over {champion[:SHORT]}, which is in use "
            f"({_newest_decision(store, wanted)}); expected a model that is proven to be better; train it further, or "
            f"put it in use nevertheless with `binpose models {directory} --promote {wanted[:SHORT]}`.",
            Reason.MODEL_REFUSED,
        )
    store.promote(wanted)
    return wanted


def take_back(directory: Path, version: str, reason: str = "") -> str:
    """Put the version before `version` in use again, which becomes the candidate as it was; returns the former.

    Args:
        directory: of the model store.
        version: that was put in use.
        reason: why it is taken back.

    Raises:
        BinposeError: when another version is in use by now, or there is none before.
    """
    store = ModelStore(directory)
    if store.current() != version:
        raise BinposeError(
            f"{version[:SHORT]} is no longer in use in {directory}; expected it to be; see `binpose models "
            f"{directory}`."
        )
    before = store.rollback(reason)
    store.nominate(version)
    return before


def _newest_decision(store: ModelStore, version: str) -> str:
    verdicts = store.verdicts(version)
    if not verdicts:
        return "no verdict about it"
    newest = verdicts[-1]
    against = str(newest.get("champion", ""))[:SHORT]
    return (
        " ".join([f"{newest.get('decision')} against {against}:", *newest.get("reasons", ())[:1]]).strip().rstrip(".")
    )
