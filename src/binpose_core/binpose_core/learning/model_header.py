"""The header of stored weights, and how the weights cover it.

The weights file holds a digest of the header's values. So the version, which is the hash of that file, covers both.
Weights of an earlier release hold none: their header is taken as it is.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BadFile, DamagedModel
from binpose_core.base.files import read_json

FORMAT = "binpose-model-1"
SHORT = 12
OWN_KEYS = ("format", "sha256", "bytes", "created", "parent", "check")
DIGEST_KEY = "header_sha256"
# The first two follow from the weights file, which follows from the digest. The same content saved at another time is
# the same version. `check` is the header's own digest, which covers these too.
_BESIDE = ("sha256", "bytes", "created", "check")


def header_digest(header: Mapping[str, Any], beside: Collection[str] = _BESIDE) -> str:
    """sha256 of the values of a header, as JSON gives them, but those that the version does not depend on."""
    content = {key: value for key, value in header.items() if key not in beside}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def own_digest(header: Mapping[str, Any]) -> str:
    """The entry `check` of a header: sha256 of all its other values."""
    return header_digest(header, ("check",))


def stored_digest(data: bytes) -> str | None:
    """The digest of the header that the beginning of a weights file holds; None for one of an earlier binpose."""
    try:
        size = int.from_bytes(data[:8], "little")
        found = json.loads(data[8 : 8 + size])["__metadata__"][DIGEST_KEY]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return str(found)


def read_digest(weights: Path) -> str | None:
    """The digest in a weights file, without reading its tensors; None where there is none."""
    try:
        with weights.open("rb") as stream:
            head = stream.read(8)
            return stored_digest(head + stream.read(min(int.from_bytes(head, "little"), weights.stat().st_size)))
    except OSError:
        return None


def check_covered(path: Path, header: Mapping[str, Any], digest: str | None) -> None:
    """Compare a header with the digest in its weights.

    Raises:
        BinposeError: when it was altered.
    """
    if digest is not None and (header_digest(header) != digest or header.get("check") != own_digest(header)):
        raise DamagedModel(
            f"{path} was altered: its values are not those that were saved with the weights of version "
            f"{str(header['sha256'])[:SHORT]}; expected the header as it was written; copy it again from where the "
            "model came from.",
            path,
        )


def read_stored(path: Path) -> Any:
    """The value in a JSON file of a model store.

    Raises:
        DamagedModel: when it cannot be read.
    """
    try:
        return read_json(path)
    except BadFile as error:
        raise DamagedModel(str(error), path) from error


def checked_header(path: Path) -> dict[str, Any]:
    """The header at a path.

    Raises:
        BinposeError: when it is missing, damaged or not that of the weights beside it.
    """
    if not path.is_file():
        raise DamagedModel(
            f"{path.with_suffix('.safetensors')} has no header; expected {path.name} beside it; restore it from where "
            "the model came from, or train again.",
            path,
        )
    header = read_stored(path)
    sha256 = header.get("sha256") if isinstance(header, dict) and header.get("format") == FORMAT else None
    if not isinstance(sha256, str) or path.stem != f"weights-{sha256[:SHORT]}":
        raise DamagedModel(
            f"{path} is no header of these weights; expected format {FORMAT!r} and the sha256 that the file is named "
            "after; restore the file or train again.",
            path,
        )
    complete: dict[str, Any] = {"created": "", "parent": None, "bytes": 0, **header}
    kinds = {"created": str, "parent": str | None, "bytes": int}
    wrong = [key for key, kind in kinds.items() if not isinstance(complete[key], kind)]
    if wrong:
        raise DamagedModel(
            f"{', '.join(f'{key} is {complete[key]!r}' for key in wrong)} in {path}; expected a text for created, a "
            "version or null for parent and a number for bytes; restore the file or train again.",
            path,
        )
    return complete
