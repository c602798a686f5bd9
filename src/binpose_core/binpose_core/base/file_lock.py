"""A lock between processes that share a folder. It ends with its process, however that ends."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from binpose_core.base.errors import BinposeError, CannotWrite

RETRY_S = 0.02


@dataclass(frozen=True)
class LockOwner:
    """Who holds a lock: process id, host, purpose, and the time since when (ISO 8601, UTC)."""

    pid: int
    host: str
    purpose: str
    since: str


class Locked(BinposeError):
    """Another process holds the lock."""

    def __init__(self, message: str, owner: LockOwner | None) -> None:
        super().__init__(message)
        self.owner = owner


@contextmanager
def locked(path: Path | str, purpose: str, wait_s: float = 0.0) -> Iterator[LockOwner | None]:
    """Hold the lock file at `path` in the block; gives the owner that ended without releasing it, None otherwise.

    The system releases the lock of a process that was killed, so a stale one never blocks. The file stays, since its
    removal could let two processes lock two files of one name.

    Args:
        path: of the lock file; missing folders are made.
        purpose: what the lock is held for, as the error of another process states it.
        wait_s: how long to wait for another process.

    Raises:
        Locked: when another process, or another thread, still holds the lock.
        BinposeError: when the place cannot be written to.
    """
    path = Path(path)
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, wait_s)
        before = _read(descriptor)
        _write(descriptor, LockOwner(os.getpid(), socket.gethostname(), purpose, _now()))
        try:
            yield before
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # releases the lock


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CannotWrite(
            f"Could not write {path}: {error.strerror}; expected a place for a lock file; check the path and its "
            "permissions.",
            path,
        ) from error


def _acquire(descriptor: int, path: Path, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() >= until:
                raise _refusal(path, _read(descriptor)) from error
        time.sleep(RETRY_S)


def _refusal(path: Path, owner: LockOwner | None) -> Locked:
    who = (
        "another process"
        if owner is None
        else f"process {owner.pid} on {owner.host} ({owner.purpose}, since {owner.since})"
    )
    return Locked(f"{path.parent} is locked by {who}; expected one writer at a time; wait until it ends.", owner)


def _read(descriptor: int) -> LockOwner | None:
    """The owner that the file names; None for an empty or half-written one."""
    try:
        return LockOwner(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _write(descriptor: int, owner: LockOwner) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
