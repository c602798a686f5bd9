"""Network weights and optimiser states as named arrays: safetensors in, safetensors out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save

from binpose_core.base.errors import BadFile, BinposeError, ModelRefused
from binpose_core.base.files import write_atomically
from binpose_core.learning.stored_parts import without_prefix


@dataclass(frozen=True)
class Progress:
    """How far a training has come: the share of its budget that is spent, in [0, 1], and the steps taken."""

    share: float = 0.0
    steps: int = 0


def to_arrays(network: torch.nn.Module) -> dict[str, npt.NDArray[Any]]:
    """The network's state by name, on the CPU."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def load_arrays(network: torch.nn.Module, arrays: Mapping[str, npt.NDArray[Any]], name: str) -> None:
    """Fill a network from arrays by name; floats of any width become float32.

    Raises:
        BinposeError: if names or shapes differ from the network's, or a weight is not finite.
    """
    state = {}
    for key, value in arrays.items():
        tensor = torch.from_numpy(np.array(value))
        state[key] = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(state[key]).all():
            raise ModelRefused(f"The {name} weights hold NaN or infinity in {key!r}; expected numbers; train again.")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelRefused(
            f"The {name} weights do not fit their configuration ({str(error).splitlines()[-1].strip()}); expected the "
            "tensors this version of binpose writes; train the model again or use the version that wrote it."
        ) from None


def inherit(
    network: torch.nn.Module,
    arrays: Mapping[str, npt.NDArray[Any]],
    known: Mapping[str, Sequence[str]],
    wanted: Mapping[str, Sequence[str]],
) -> None:
    """Begin a network with the weights of one that was trained for other parts.

    Args:
        network: of the same architecture, for the parts that are wanted.
        arrays: the trained one's, as `to_arrays` gives them.
        known: what each row stands for in the trained one, for the tensors whose rows belong to parts.
        wanted: the same for the network. Rows of what is not known begin as the mean of those that are.

    Raises:
        BinposeError: if the architectures differ.
    """
    state = {}
    for name, target in network.state_dict().items():
        source = torch.from_numpy(np.array(arrays[name])) if name in arrays else torch.empty(0)
        if name in wanted and len(source) == len(known[name]):
            rows, mean = dict(zip(known[name], source, strict=True)), source.float().mean(0)
            source = torch.stack([rows.get(label, mean) for label in wanted[name]])
        if source.shape != target.shape:
            raise BinposeError(
                f"The model to start from has {name!r} of shape {list(source.shape)}; expected {list(target.shape)}: "
                "another architecture; start from a model that this version of binpose trained with the same detector."
            )
        state[name] = source.to(target.dtype)
    network.load_state_dict(state)


def save_checkpoint(
    path: Path,
    network: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Everything that a run needs to go on, as one safetensors file."""
    tensors = {f"network/{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in values.items()}
    told = {"share": repr(progress.share), "steps": str(progress.steps)}
    content = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, told)
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def read_progress(path: Path) -> Progress:
    """How far the training had come that wrote a checkpoint; nowhere where there is none.

    Raises:
        BinposeError: if the file is damaged.
    """
    if not path.exists():
        return Progress()
    with _readable(path), safe_open(path, "pt") as file:
        told = file.metadata()
        return Progress(float(told["share"]), int(told["steps"]))


def load_checkpoint(
    path: Path, network: torch.nn.Module, average: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    """Restore what `save_checkpoint` wrote; returns how far the run had come.

    Raises:
        BinposeError: if the file is damaged or belongs to another network.
    """
    progress = read_progress(path)
    with _readable(path):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the file is no dict
        network.load_state_dict(without_prefix("network/", tensors))
        average.load_state_dict(without_prefix("average/", tensors))
        state = optimizer.state_dict()
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in without_prefix("optimizer/", tensors).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(state | {"state": moments})
    return progress


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise BadFile(
            f"The checkpoint {path} cannot be read ({type(error).__name__}); expected one written by the same "
            "training; delete it or train without --resume.",
            path,
        ) from error
