"""The bytes and arrays of stored weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, DamagedModel
from binpose_core.learning.model_header import SHORT


def verified_bytes(path: Path, version: str, header: Mapping[str, Any]) -> bytes:
    """The content of a weights file, compared with its version and its header.

    Raises:
        DamagedModel: when it cannot be read, is truncated or was altered.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedModel(
            f"Could not read {path}: {error.strerror}; expected the weights of version {version[:SHORT]}; restore "
            "the file or train again.",
            path,
        ) from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != version and len(data) < header["bytes"]:
        raise DamagedModel(
            f"{path} is truncated: {len(data)} of {header['bytes']} bytes; expected the whole file; copy it again.",
            path,
        )
    if actual != version:
        raise DamagedModel(
            f"{path} has sha256 {actual[:SHORT]}..., expected {version[:SHORT]}...: the file was altered; copy it "
            "again from where the model came from.",
            path,
        )
    if len(data) != header["bytes"]:
        raise DamagedModel(
            f"{path.with_suffix('.json')} says {header['bytes']} bytes, and {path.name} has {len(data)}: the "
            "header was altered; copy it again from where the model came from.",
            path.with_suffix(".json"),
        )
    return data


def storable(name: str, value: npt.NDArray[Any], half: bool) -> npt.NDArray[Any]:
    """The array as it is stored: contiguous, and as float16 where `half` is true.

    Raises:
        BinposeError: for a number that does not fit into float16.
    """
    # order="C" and not ascontiguousarray, which would turn a scalar into a vector.
    value = np.asarray(value, order="C")
    if not half or value.dtype.kind != "f":
        return value
    with np.errstate(over="ignore"):
        small = value.astype(np.float16)
    if np.any(np.isinf(small) & np.isfinite(value)):
        raise BinposeError(
            f"Tensor {name!r} holds {np.abs(value).max():.4g}; expected at most 65504 to store it as float16; "
            "leave it out of `half`."
        )
    return small


def restored(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as it is used: those stored as float16 are float32 again."""
    return value.astype(np.float32) if value.dtype == np.float16 else value
