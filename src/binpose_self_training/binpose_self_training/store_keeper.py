"""What the node does to its model store on request, together with the running nodes that use the store."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from binpose_core.base.errors import BinposeError, NoModel
from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_self_training.promotion import StoreStatus, promote_proven, take_back


class Running(Protocol):
    """Which models running nodes use, as `binpose_ros.running_models.RunningModels` knows it."""

    def using(self, store: Path) -> Mapping[str, str]:
        """Versions that they use of a store, by name."""
        ...

    def wait(self, store: Path, version: str, patience_s: float) -> str:
        """Wait until all of them use a version; why one does not, or an empty text."""
        ...


class StoreKeeper:
    """Promotes, rolls back and reports.

    Args:
        running: the running nodes.
        model: gives the parameter with the folder of the store.
        patience_s: gives the seconds in which running nodes must follow; 0 = they are not waited for.
    """

    def __init__(self, running: Running, model: Callable[[], str], patience_s: Callable[[], float]) -> None:
        self._running, self._model, self._patience_s = running, model, patience_s

    def folder(self, requested: str = "") -> Path:
        """The folder of the store.

        Raises:
            BinposeError: where none is set, or a request names another one.
        """
        if not self._model():
            raise NoModel("No model is named; expected the folder of a model store; set the parameter `model`.", "")
        own = Path(self._model()).expanduser().absolute()
        if requested and Path(requested).expanduser().resolve() != own.resolve():
            raise BinposeError(
                f"The request names the store {requested}; expected {own}, that of this node, or an empty text.",
                Reason.BAD_REQUEST,
            )
        return own

    def promote(self, store: str, version: str) -> tuple[str, str]:
        """Put a proven version in use; it and a sentence.

        Raises:
            BinposeError: for a version that is not proven to be better, or that a running node refuses.
        """
        folder = self.folder(store)
        promoted = promote_proven(folder, version)
        if problem := self.confirm(promoted):
            raise BinposeError(problem, Reason.MODEL_REFUSED)
        return promoted, f"Model {promoted[:SHORT]} is in use{self._users(folder)}."

    def confirm(self, version: str) -> str:
        """Wait until the running nodes use a promoted version, and take it back otherwise; why, or an empty text."""
        folder = self.folder()
        if not (problem := self._followed(folder, version)):
            return ""
        return f"{problem} The store is back at {take_back(folder, version, problem)[:SHORT]}."

    def roll_back(self) -> tuple[str, str]:
        """Put the previous version in use again; it and a sentence.

        Raises:
            BinposeError: without one, or where a running node does not take it.
        """
        folder = self.folder()
        version = ModelStore(folder).rollback()
        if problem := self._followed(folder, version):
            raise BinposeError(f"The store is back at {version[:SHORT]}, but {problem}", Reason.MODEL_REFUSED)
        return version, f"Model {version[:SHORT]} is in use again{self._users(folder)}."

    def status(self) -> tuple[str, Mapping[str, Any]]:
        """It in a sentence, and as fields of a ModelStatus.

        Raises:
            BinposeError: without a store, or for a damaged one.
        """
        folder = self.folder()
        status = StoreStatus.of(folder)
        return status.sentence, status.message(folder)

    def _followed(self, folder: Path, version: str) -> str:
        patience_s = self._patience_s()
        return self._running.wait(folder, version, patience_s) if patience_s else ""

    def _users(self, folder: Path) -> str:
        names = [name.lstrip("/") for name in self._running.using(folder)]
        return f" in {', '.join(names)}" if names else "; no running node uses this store"
