"""The pose network in the ONNX format, and ONNX Runtime as the engine that runs it."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.learning.onnx_network import OnnxSession, onnx_bytes
from binpose_estimator.crop_content import CropContent
from binpose_estimator.network import PoseNetwork
from binpose_estimator.poses import Prediction

ENGINES = TORCH, ONNXRUNTIME = ("torch", "onnxruntime")
"""What can run the pose network."""
EXAMPLES = 2
"""Crops of the batch that the export traces."""


def check_engine(engine: str, device: str = "cpu") -> None:
    """Refuse an unknown engine, and one that does not run on the device.

    Raises:
        BinposeError: naming what was expected.
    """
    if engine not in ENGINES:
        raise BinposeError(f"The engine is {engine!r}; expected {' or '.join(ENGINES)}; choose one of them.")
    if engine == ONNXRUNTIME and torch.device(device).type != "cpu":
        raise BinposeError(
            f"The engine onnxruntime with the device {device!r}; expected the device cpu; choose it, or the engine "
            "torch."
        )


def example_inputs(
    network: PoseNetwork, content: CropContent, batch: int = EXAMPLES, classes: int = 1
) -> dict[str, torch.Tensor]:
    """Random crops (B, C, n, n) of as many classes in turn, by the names of the network's ONNX inputs."""
    shape = (batch, content.channels, content.size_px, content.size_px)
    crops = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return {"crops": crops.to(next(network.parameters()).dtype), "classes": torch.arange(batch) % classes}


def export_pose_network(network: PoseNetwork, content: CropContent) -> bytes:
    """A pose network of any preset as the content of an ONNX file with a free number of crops.

    Inputs are `crops` (B, C, n, n) float32 and `classes` (B,) int64; outputs are the fields of the head's prediction.

    Args:
        network: trained, on the CPU, in evaluation mode.
        content: of its crops.

    Raises:
        BinposeError: if its prediction is no dataclass of tensors, or it cannot be exported.
    """
    inputs = example_inputs(network, content)
    outputs = [*_tensors(_predicted(network, inputs))]
    return onnx_bytes(_Flat(network), inputs, outputs, {name: {0: "batch"} for name in (*inputs, *outputs)})


class OnnxPoseNetwork:
    """Crops and classes -> the prediction of a pose network, computed by ONNX Runtime.

    Args:
        network: trained, on the CPU, in evaluation mode.
        content: of its crops.
        classes: how many the network knows.
        threads: of ONNX Runtime; those of torch when None.

    Raises:
        BinposeError: as `export_pose_network`, if ONNX Runtime is not installed, or gives other outputs than torch.
    """

    def __init__(self, network: PoseNetwork, content: CropContent, classes: int, threads: int | None = None) -> None:
        self._session = OnnxSession(export_pose_network(network, content), threads)
        inputs = example_inputs(network, content, EXAMPLES + 1, classes)
        expected = _predicted(network, inputs)
        self._session.check(inputs, _tensors(expected))
        self._kind = type(expected)

    def __call__(self, crops: torch.Tensor, classes: torch.Tensor) -> Prediction:
        """(B, C, n, n) and classes (B,) -> the prediction of B crops in float32."""
        prediction: Prediction = self._kind(**self._session({"crops": crops, "classes": classes}))
        return prediction


class _Flat(nn.Module):
    """A pose network that gives its prediction's tensors as a tuple."""

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(_tensors(self.network(crops, classes)).values())


def _predicted(network: PoseNetwork, inputs: Mapping[str, torch.Tensor]) -> Any:
    with torch.no_grad():
        return network(*inputs.values())


def _tensors(prediction: Any) -> dict[str, torch.Tensor]:
    """The fields of a prediction, which must be a dataclass of tensors."""
    values = (
        {entry.name: getattr(prediction, entry.name) for entry in fields(prediction)}
        if is_dataclass(prediction)
        else {}
    )
    if not values or not all(isinstance(value, torch.Tensor) for value in values.values()):
        raise BinposeError(
            f"The network predicts {type(prediction).__name__}; expected a dataclass of tensors to export it to ONNX; "
            "keep other values in the head."
        )
    return values
