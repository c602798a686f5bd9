"""A model's networks as ONNX files, with a description of their inputs and outputs in JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_bytes, write_json
from binpose_core.learning.onnx_network import OnnxSession, onnx_bytes
from binpose_core.learning.stored_parts import own_version
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.features import CHANNELS as DETECTOR_CHANNELS
from binpose_detection.segmenter import VoteSegmenter
from binpose_estimator.crop_content import CHANNELS
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.onnx_engine import EXAMPLES, example_inputs, export_pose_network
from binpose_pipeline.bundle import PipelineBundle

POSE_FILE, DETECTOR_FILE, DESCRIPTION_FILE = "pose.onnx", "detector.onnx", "model.json"
DETECTOR_MULTIPLE_PX = 32


def export_model(bundle: PipelineBundle, out: Path) -> list[Path]:
    """Write the pose network, the detector `votes` and their description; returns the files.

    Each network is run by torch and by ONNX Runtime before it is written.

    Args:
        bundle: on the CPU.
        out: folder; made when it is not there.

    Raises:
        BinposeError: if a network cannot be exported, gives other outputs in ONNX Runtime, or a library is missing.
    """
    estimator = bundle.estimator
    if not isinstance(estimator, PoseEstimator):
        raise BinposeError(
            f"The model has a {type(estimator).__name__}; expected a PoseEstimator; export a model of `binpose train`."
        )
    entries = {"pose": pose_entry(estimator, out / POSE_FILE, bundle.objects)}
    if isinstance(bundle.segmenter, VoteSegmenter):
        entries["detector"] = detector_entry(bundle.segmenter, out / DETECTOR_FILE)
    write_json(
        out / DESCRIPTION_FILE,
        {"format": "binpose-onnx-1", "binpose": own_version(), "version": bundle.version, "networks": entries},
    )
    return [*(out / entry["file"] for entry in entries.values()), out / DESCRIPTION_FILE]


def pose_entry(estimator: PoseEstimator, path: Path, objects: Mapping[str, ObjectModel]) -> dict[str, Any]:
    """Write the pose network; returns its description."""
    network, config = estimator.network, estimator.config
    content = config.preset.content
    exported = export_pose_network(network, content)
    inputs = example_inputs(network, content, EXAMPLES + 1, len(config.objects))
    with torch.no_grad():
        expected = vars(network(*inputs.values()))
    described = _write_checked(exported, path, inputs, expected, {name: ["batch"] for name in (*inputs, *expected)})
    return {
        **described,
        "preset": config.preset.name,
        "gsd_m": config.gsd_m,
        "classes": list(config.objects),
        "diameters_m": {name: objects[name].diameter_m for name in config.objects},
        "crop": {
            "images": {name: list(CHANNELS[name]) for name in content.names},
            "size_px": content.size_px,
            "diameters": content.diameters,
        },
    }


def detector_entry(segmenter: VoteSegmenter, path: Path) -> dict[str, Any]:
    """Write the detector's network; returns its description."""
    network, names = segmenter.network, ("logits", "centers", "affinities")
    size = (2 * DETECTOR_MULTIPLE_PX, 3 * DETECTOR_MULTIPLE_PX)
    features = torch.rand(2, len(DETECTOR_CHANNELS), *size, generator=torch.Generator().manual_seed(0))
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("features",)}
    axes |= {name: {0: "batch", 2: "half_height", 3: "half_width"} for name in names}
    exported = onnx_bytes(network, {"features": features}, names, axes)
    other = features[:1, :, :DETECTOR_MULTIPLE_PX].contiguous()
    with torch.no_grad():
        expected = dict(zip(names, network(other), strict=True))
    free = {name: list(entry.values()) for name, entry in axes.items()}
    return {
        **_write_checked(exported, path, {"features": other}, expected, free),
        "gsd_m": segmenter.config.gsd_m,
        "multiple_px": DETECTOR_MULTIPLE_PX,
        "channels": list(DETECTOR_CHANNELS),
        "classes": ["no part", *segmenter.config.objects],
    }


def _write_checked(
    content: bytes,
    path: Path,
    inputs: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    free: Mapping[str, list[str]],
) -> dict[str, Any]:
    """Write a network whose outputs are those of torch; returns the description of its tensors."""
    OnnxSession(content).check(inputs, expected)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return {
        "file": path.name,
        "inputs": [_tensor_entry(name, value, free[name]) for name, value in inputs.items()],
        "outputs": [_tensor_entry(name, value, free[name]) for name, value in expected.items()],
    }


def _tensor_entry(name: str, value: torch.Tensor, free: list[str]) -> dict[str, Any]:
    """Name, type and shape of a tensor; axes of free length have names instead of numbers."""
    shape: list[int | str] = list(value.shape)
    for axis, label in zip((0, 2, 3), free, strict=False):
        shape[axis] = label
    return {"name": name, "type": str(value.dtype).removeprefix("torch."), "shape": shape}
