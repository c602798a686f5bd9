"""Networks in the ONNX format, and ONNX Runtime as their engine on the CPU."""

import copy
import importlib
import inspect
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from binpose_core.base.errors import BinposeError

Axes = Mapping[str, Mapping[int, str]]
"""The axes of free length by tensor: their numbers and names."""
LARGEST_DIFFERENCE = 1e-3
"""Between outputs of torch and of ONNX Runtime, both in float32, relative to the largest output if that is above 1."""


def onnx_bytes(
    network: torch.nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], axes: Axes
) -> bytes:
    """A network as the content of an ONNX file.

    Args:
        network: on the CPU, in evaluation mode; takes the inputs in their order and gives a tuple of tensors.
        inputs: an example, by name.
        outputs: names of the tensors in the tuple.
        axes: those of inputs and outputs whose length is free.

    Raises:
        BinposeError: if the library is not installed, or the network has an operation that ONNX lacks.
    """
    import_onnx("onnx")
    options: dict[str, Any] = {"input_names": [*inputs], "output_names": [*outputs], "dynamic_axes": axes}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False  # Tracing takes seconds, the other exporter minutes.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        try:
            # A copy: the exporter folds batch normalisations into the weights of the network that it is given.
            torch.onnx.export(copy.deepcopy(network), tuple(inputs.values()), str(path), **options)
        except Exception as error:
            raise BinposeError(
                f"The network {type(network).__name__} cannot be exported to ONNX ({_first_line(error)}); expected "
                "operations that ONNX has; use the engine torch, or change the network."
            ) from error
        return path.read_bytes()


class OnnxSession:
    """A network that ONNX Runtime runs on the CPU: tensors by name in, tensors by name out.

    Args:
        content: of an ONNX file.
        threads: of ONNX Runtime; those of torch when None.

    Raises:
        BinposeError: if the library is not installed, or the content is no network.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        runtime = import_onnx("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        # Spinning threads slow down other processes of the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BinposeError(
                f"ONNX Runtime cannot load the network ({_first_line(error)}); expected an ONNX file; export the model "
                "again with `binpose export`."
            ) from error
        self.inputs = [entry.name for entry in self._session.get_inputs()]
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs for inputs of any free lengths."""
        feed = {name: inputs[name].contiguous().numpy() for name in self.inputs}
        try:
            values = self._session.run(None, feed)
        except Exception as error:
            raise BinposeError(
                f"ONNX Runtime cannot run the network on {', '.join(f'{n} {list(v.shape)}' for n, v in feed.items())} "
                f"({_first_line(error)}); expected lengths that the network leaves free; take lengths from `shape` in "
                "`forward`, as `len` becomes a constant."
            ) from error
        return {name: torch.from_numpy(value) for name, value in zip(self.outputs, values, strict=True)}

    def check(self, inputs: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
        """Compare the outputs for these inputs with those of torch.

        Raises:
            BinposeError: if one differs by more than `LARGEST_DIFFERENCE`, or the network does not run.
        """
        found = self(inputs)
        for name, value in expected.items():
            same = found[name].shape == value.shape
            if value.numel() == 0 and same:
                continue
            found_value, wanted = found[name].double(), value.double()
            scale = wanted.abs().max().clamp(min=1.0)
            difference = float((found_value - wanted).abs().max() / scale) if same else float("inf")
            if not difference <= LARGEST_DIFFERENCE:
                raise BinposeError(
                    f"The output {name!r} differs by {difference:.2g} between torch and ONNX Runtime; expected at most "
                    f"{LARGEST_DIFFERENCE:g}; use other versions of onnx and onnxruntime, or the engine torch."
                )


def import_onnx(name: str) -> ModuleType:
    """A library of the extra `onnx`: onnx or onnxruntime.

    Raises:
        BinposeError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BinposeError(
            f"ONNX needs the library {name}, which is not installed; expected it for `binpose export` and the engine "
            "onnxruntime; `pip install 'binpose[onnx]'`, or use the engine torch."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
