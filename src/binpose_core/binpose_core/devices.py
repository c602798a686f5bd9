"""The devices that networks run on."""

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch

from binpose_core.errors import BinposeError

Batch = TypeVar("Batch")


def check_device(device: str) -> None:
    """Refuse what is no device, or a GPU that torch does not see.

    Args:
        device: cpu, cuda or cuda:<number>.

    Raises:
        BinposeError: naming it and what is there.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BinposeError(f"The device is {device!r}; expected cpu or cuda; choose one of them.") from error
    if chosen.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise BinposeError(
            f"The device is {device!r}, but torch sees no GPU; expected an NVIDIA driver and a CUDA build of torch; "
            "install them, or choose the device cpu."
        )
    if (chosen.index or 0) >= (count := torch.cuda.device_count()):
        raise BinposeError(
            f"The device is {device!r}, but torch sees {count} GPU(s), counted from 0; choose one of these, or the "
            "device cpu."
        )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The same with all its tensors on the device, however they are kept: in sequences, mappings or dataclasses."""
    return batch if device.type == "cpu" else _moved(batch, device)


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        moved = [_moved(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    if is_dataclass(batch) and not isinstance(batch, type):
        return type(batch)(**{field.name: _moved(getattr(batch, field.name), device) for field in fields(batch)})
    return batch
