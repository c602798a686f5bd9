"""What changes in a model store beside its immutable versions: aliases, and verdicts about versions.

    current.json                 {"version", "previous", "candidate"}: the champion and the other aliases
    verdict-3f9c01ab52de.json    verdicts of the gate about a version, oldest first

Both files are written whole; a lock protects the change from other writers.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from binpose_core.base.errors import DamagedModel
from binpose_core.base.file_lock import LockOwner, locked
from binpose_core.base.files import write_json
from binpose_core.learning.model_header import SHORT, read_stored

CHAMPION, CANDIDATE, PREVIOUS = ALIASES = "champion", "candidate", "previous"
POINTER = "current.json"
_KEYS = {CHAMPION: "version", CANDIDATE: "candidate", PREVIOUS: "previous"}
WAIT_S = 10.0


def writing(directory: Path) -> AbstractContextManager[LockOwner | None]:
    """The short lock around each change of an alias or a verdict.

    Raises:
        Locked: when another process does not release it in time.
    """
    return locked(directory / ".writing.lock", "change of an alias or a verdict", WAIT_S)


def self_training_lock(
    directory: Path | str, purpose: str = "self-training"
) -> AbstractContextManager[LockOwner | None]:
    """The lock that a self-training holds for its whole duration, so that there is one at a time in a store.

    Saving and promoting stay possible. Gives the owner that was killed while it held the lock, None otherwise.

    Raises:
        Locked: when another process holds it.
    """
    return locked(Path(directory) / ".self_training.lock", purpose)


def read_aliases(pointer: Path) -> dict[str, str]:
    """The version of each alias that current.json sets.

    Raises:
        DamagedModel: when it names no champion, or no versions.
    """
    content = read_stored(pointer)
    found = {alias: content.get(key) for alias, key in _KEYS.items()} if isinstance(content, dict) else {}
    if not isinstance(found.get(CHAMPION), str) or not all(isinstance(v, str | None) for v in found.values()):
        raise DamagedModel(
            f'{pointer} names no version; expected {{"version": sha256}}; delete it and promote a version.', pointer
        )
    return {alias: version for alias, version in found.items() if version is not None}


def write_aliases(pointer: Path, aliases: Mapping[str, str | None]) -> None:
    """Set all aliases at once; those of None are left out."""
    write_json(pointer, {_KEYS[alias]: version for alias, version in aliases.items() if version is not None})


def verdict_path(directory: Path, version: str) -> Path:
    """The file of the verdicts about a version."""
    return directory / f"verdict-{version[:SHORT]}.json"


def read_verdicts(directory: Path, version: str) -> list[dict[str, Any]]:
    """The verdicts about a version, oldest first; empty where there are none.

    Raises:
        DamagedModel: when the file is damaged, or about another version.
    """
    path = verdict_path(directory, version)
    if not path.is_file():
        return []
    content = read_stored(path)
    verdicts = content.get("verdicts") if isinstance(content, dict) and content.get("version") == version else None
    if not isinstance(verdicts, list) or not all(isinstance(verdict, dict) for verdict in verdicts):
        raise DamagedModel(
            f"{path} holds no verdicts about version {version[:SHORT]}; expected a list; delete it and run the gate "
            "again.",
            path,
        )
    return verdicts


def append_verdict(directory: Path, version: str, verdict: Mapping[str, Any]) -> None:
    """Record one more verdict about a version, with the time."""
    recorded = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with writing(directory):
        verdicts = [*read_verdicts(directory, version), {**verdict, "recorded": recorded}]
        write_json(verdict_path(directory, version), {"version": version, "verdicts": verdicts})
