"""The devices that networks run on."""

from binpose_core.base.errors import BinposeError

_NO_DEVICE = "The device is {!r}; expected cpu or cuda; choose one of them."


def check_device(device: str) -> None:
    """Refuse what is no device, or a GPU that torch does not see.

    Args:
        device: cpu, cuda or cuda:<number>.

    Raises:
        BinposeError: naming it and what is there.
    """
    import torch

    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BinposeError(_NO_DEVICE.format(device)) from error
    if chosen.type not in ("cpu", "cuda"):
        raise BinposeError(_NO_DEVICE.format(device))
    if chosen.type == "cpu":
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
