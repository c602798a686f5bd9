"""Files that are either whole or absent: written beside their target, then renamed onto it."""

import codecs
import contextlib
import errno
import json
import math
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BadFile, CannotWrite, DiskFull

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The longer ones first: that of UTF-32 begins like that of UTF-16.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_TEMPORARY = re.compile(r"^\..+\.(?P<host>[^.]+)-(?P<pid>\d+)-[0-9a-f]{8}\.tmp(\.[^.]*)?$")


@contextlib.contextmanager
def write_atomically(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give the name of a temporary file beside `path`; write it in the block, and it becomes `path`.

    A reader sees the old file or the new one, never a part. The temporary file has the suffix of `path`, so that
    writers which tell the format from the name work too. Missing folders are made. On any error, also on Ctrl-C,
    the temporary file is removed and `path` stays as it was; what a killed process left is swept by
    `remove_leftovers`.

    Args:
        path: the file to be written or replaced.
        durable: wait until the data is on the disk, so that a power cut cannot leave an empty file. False saves some
            milliseconds per file where thousands are written and could be made again.

    Raises:
        BinposeError: when the disk is full, or the place cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            flush_to_disk(path.parent)
    except OSError as error:
        if error.errno in _NO_SPACE or error.filename in (None, str(temporary), str(path), *map(str, path.parents)):
            raise _write_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path`, whole or not at all; errors as in `write_atomically`."""
    with write_atomically(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str, *, durable: bool = True) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; errors as in `write_atomically`."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: Path | str, value: Any, *, indent: int | None = 2, durable: bool = True) -> None:
    """Write `value` as JSON, whole or not at all; errors as in `write_atomically`.

    numpy's arrays and scalars become lists and numbers, tuples lists, paths strings. JSON has no NaN and no infinity:
    they become null.
    """
    write_text(path, to_json(value, indent=indent), durable=durable)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """`value` as the text that `write_json` writes."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False) + "\n"


def read_json(path: Path | str) -> Any:
    """The value in the JSON file at `path`: UTF-8, or UTF-16 and UTF-32 with a byte order mark.

    Raises:
        BinposeError: when there is no such file, it cannot be read, or it holds no JSON, or one key twice.
    """
    try:
        return json.loads(decode_text(Path(path).read_bytes()), object_pairs_hook=_without_twins)
    except FileNotFoundError as error:
        raise BadFile(f"No file {path}; expected a JSON file there; check the path.", path) from error
    except OSError as error:
        raise BadFile(f"Could not read {path}: {error.strerror}; check the path and its permissions.", path) from error
    except ValueError as error:
        raise BadFile(f"{path} is no valid JSON ({error}); expected a whole JSON file; restore it.", path) from error
    except RecursionError as error:
        raise BadFile(
            f"{path} is nested too deeply to be read; expected a JSON file of data; restore it.", path
        ) from error


def decode_text(data: bytes) -> str:
    """The text in the bytes of a file, UTF-8 unless a byte order mark says otherwise.

    Raises:
        UnicodeDecodeError: for bytes that are no such text.
    """
    mark = next((mark for mark in _BYTE_ORDER_MARKS if data.startswith(mark)), b"")
    return data.decode(_BYTE_ORDER_MARKS.get(mark, "utf-8"))


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return values


def remove_leftovers(directory: Path | str) -> list[Path]:
    """Remove the temporary files in `directory` whose writers were killed; returns their paths.

    Files of living processes, and of other hosts on a shared disk, stay.
    """
    removed = []
    for path in Path(directory).glob(".*.tmp*"):
        match = _TEMPORARY.match(path.name)
        if match and match["host"] == _host() and not _is_alive(int(match["pid"])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def remove_leftovers_below(directory: Path | str) -> list[Path]:
    """The same in a folder and in all folders in it."""
    folders = [Path(directory), *(path for path in Path(directory).rglob("*") if path.is_dir())]
    return [path for folder in folders for path in remove_leftovers(folder)]


def _write_error(path: Path, error: OSError) -> CannotWrite:
    if error.errno in _NO_SPACE:
        return DiskFull(
            f"Could not write {path}: no space is left there ({error.strerror}); nothing was changed; free some space.",
            path,
        )
    return CannotWrite(
        f"Could not write {path}: {error.strerror or error}; expected a place to write to; check the path and its "
        "permissions.",
        path,
    )


def flush_to_disk(path: Path) -> None:
    """Return when a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname()) or "host"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It lives, and belongs to someone else.
        return True
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
