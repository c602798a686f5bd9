"""The errors that users see: one sentence each, with the data and the code that a program needs to react."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from binpose_core.base.reasons import Reason

if TYPE_CHECKING:
    from typing_extensions import Self


class BinposeError(Exception):
    """A mistake in the input in one sentence: what arrived, what was expected, what to do.

    The command line prints the message without a traceback and exits with 2; a batch reports it
    for the frame concerned and goes on with the next one.

    Args:
        message: the sentence.
        reason: its stable code, for programs; by default that of the class.
    """

    default_reason = Reason.BAD_INPUT

    def __init__(self, message: str = "", reason: Reason | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)

    def with_note(self, note: str) -> "Self":
        """The same error with more sentences after its own."""
        noted = copy.copy(self)
        noted.args = (f"{self} {note}",)
        return noted


class NoDepth(BinposeError):
    """A frame has no depth, or no valid pixel in it, where depth is needed.

    frame: its name.
    """

    default_reason = Reason.NO_DEPTH

    def __init__(self, message: str, frame: str) -> None:
        super().__init__(message)
        self.frame = frame


class UnknownObject(BinposeError):
    """Parts that a model, a catalogue or a file does not know.

    object_ids: the unknown ones. known: those that are known.
    """

    def __init__(
        self, message: str, object_ids: Iterable[str], known: Iterable[str], reason: Reason | None = None
    ) -> None:
        super().__init__(message, reason)
        self.object_ids, self.known = tuple(object_ids), tuple(known)


class UnknownTopic(BinposeError):
    """A topic that a bag does not have.

    topic: its name. known: the topics with messages.
    """

    def __init__(self, message: str, topic: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.topic, self.known = topic, tuple(known)


class NoModel(BinposeError):
    """A place without a model, or without one that is in use.

    path: the folder or file.
    """

    def __init__(self, message: str, path: Path | str) -> None:
        super().__init__(message)
        self.path = Path(path)


class UnknownVersion(BinposeError):
    """A version that a model store does not have, or digits with which several of its versions begin.

    version: as it was given. known: the versions in the store.
    """

    def __init__(self, message: str, version: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.version, self.known = version, tuple(known)


class ModelMismatch(BinposeError):
    """A result that was made with another model than the one that is to process it.

    version: of the result. known: the versions that would do.
    """

    default_reason = Reason.MODEL_MISMATCH

    def __init__(self, message: str, version: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.version, self.known = version, tuple(known)


class ModelRefused(BinposeError):
    """A model that cannot be put in use: its header or weights do not fit, or it is worse than the one in use.

    version: of the model; empty where it is not known.
    """

    default_reason = Reason.MODEL_REFUSED

    def __init__(self, message: str, version: str = "") -> None:
        super().__init__(message)
        self.version = version


class BadFile(BinposeError):
    """A file that is missing, cannot be read, or does not hold what it should.

    path: the file.
    """

    def __init__(self, message: str, path: Path | str) -> None:
        super().__init__(message)
        self.path = Path(path)


class DamagedModel(BadFile):
    """A file of a model store that is missing, truncated or altered."""


class CannotWrite(BinposeError):
    """A place that does not take a file.

    path: the file or folder.
    """

    def __init__(self, message: str, path: Path | str) -> None:
        super().__init__(message)
        self.path = Path(path)


class DiskFull(CannotWrite):
    """A disk without room for a file."""


class Diverged(BinposeError):
    """A training whose gradients are no longer finite.

    steps: how many in a row were not. losses: of the last one, by name.
    """

    def __init__(self, message: str, steps: int, losses: Mapping[str, float]) -> None:
        super().__init__(message)
        self.steps, self.losses = steps, dict(losses)


class Cancelled(BinposeError):
    """A request that its client cancelled."""

    default_reason = Reason.CANCELLED


def _restored(kind: type[BinposeError], args: tuple[Any, ...], values: dict[str, Any]) -> BinposeError:
    """A copied or unpickled error: constructors take more than the message."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(values)
    return error
