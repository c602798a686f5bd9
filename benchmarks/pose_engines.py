"""Time of ten crops through the shipped pose network by engine, taken in turn, and what 8-bit weights change.

The crops are renderings of the parts in random orientations. The ratio to the shipped engine is what counts: other
processes of a machine slow down all engines alike. Rotations are compared with those of torch in float32. Needs the
extra `onnx`.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from binpose_core.base.precision import autocast, fastest_precision
from binpose_core.geometry.transforms import random_rotation
from binpose_core.learning.onnx_network import OnnxSession, import_onnx
from binpose_estimator.onnx_engine import export_pose_network
from binpose_estimator.rendered_crops import CropRenderer
from binpose_pipeline.bundle import load_bundle
from common import heading, spread, table

CROPS = 10
Outputs = Callable[[], dict[str, torch.Tensor]]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    heading("Engines of the pose network")
    estimator = load_bundle(arguments.model).estimator
    network, content = estimator.network, estimator.config.preset.content
    parts = [estimator.objects[name] for name in estimator.config.objects]
    crops, classes = rendered(CropRenderer(parts, content), len(parts), np.random.default_rng(0), CROPS)
    last = crops.contiguous(memory_format=torch.channels_last)
    feed = {"crops": crops, "classes": classes}
    exported = export_pose_network(network, content)
    int8 = {"dynamic": quantized(exported, None), "static": quantized(exported, batches(parts, content))}

    eager = copy.deepcopy(network).to(memory_format=torch.contiguous_format)

    def torch_run(model: torch.nn.Module, x: torch.Tensor, low: bool, threads: int = 1) -> Outputs:
        def run() -> dict[str, torch.Tensor]:
            torch.set_num_threads(threads)
            with torch.inference_mode(), autocast() if low else torch.autocast("cpu", enabled=False):
                return vars(model(x, classes))

        return run

    def onnx_run(file: bytes, threads: int) -> Outputs:
        session = OnnxSession(file, threads)
        return lambda: session(feed)

    shipped = f"torch as shipped (channels last, {str(fastest_precision()).removeprefix('torch.')}), 1 thread"
    runs: dict[str, Outputs] = {
        shipped: torch_run(network, last, True),
        shipped.replace("1 thread", "2 threads"): torch_run(network, last, True, 2),
        "torch eager, float32, 1 thread": torch_run(eager, crops, False),
        "torch channels last, float32, 1 thread": torch_run(network, last, False),
        "onnxruntime, float32, 1 thread": onnx_run(exported, 1),
        "onnxruntime, float32, 2 threads": onnx_run(exported, 2),
        "onnxruntime, int8 dynamic, 1 thread": onnx_run(int8["dynamic"], 1),
        "onnxruntime, int8 static, 1 thread": onnx_run(int8["static"], 1),
    }
    times = interleaved(runs, arguments.repeats)
    expected = runs["torch eager, float32, 1 thread"]()
    rows = []
    for name, run in runs.items():
        degrees = rotation_errors(run(), expected)
        ratio = np.median(times[name] / times[shipped])
        rows.append(
            [name, spread(times[name], 1e-3), f"{ratio:.2f}", f"{np.median(degrees):.2f}", f"{degrees.max():.2f}"]
        )
    table(["engine", "ms", "ratio", "median rotation difference (deg)", "largest"], rows)


def rendered(
    renderer: CropRenderer, classes: int, rng: np.random.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (B, C, n, n) of parts in random orientations, and their classes (B,)."""
    chosen = torch.from_numpy(rng.integers(classes, size=count))
    rotation = torch.from_numpy(random_rotation(rng, (count,)).astype(np.float32))
    center = torch.from_numpy(rng.normal(0, 0.04, (count, 3)).astype(np.float32))
    with torch.no_grad():
        return renderer(chosen, rotation, center, torch.full((count,), 9.0)).inputs.x.contiguous(), chosen


def batches(parts: list, content) -> Iterator[dict[str, np.ndarray]]:  # type: ignore[no-untyped-def, type-arg]
    """Crops for the ranges of static quantisation."""
    renderer, rng = CropRenderer(parts, content), np.random.default_rng(1)
    for _ in range(8):
        crops, classes = rendered(renderer, len(parts), rng, CROPS)
        yield {"crops": crops.numpy(), "classes": classes.numpy()}


def quantized(exported: bytes, samples: Iterator[dict[str, np.ndarray]] | None) -> bytes:
    """The network with 8-bit weights, and 8-bit features where samples give their ranges."""
    import_onnx("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(exported)
        if samples is None:
            quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        else:

            class Reader(CalibrationDataReader):
                def get_next(self) -> dict[str, np.ndarray] | None:
                    return next(samples, None)

            quantize_static(source, target, Reader(), per_channel=True, op_types_to_quantize=["Conv", "Gemm"])
        return target.read_bytes()


def interleaved(runs: dict[str, Outputs], repeats: int) -> dict[str, np.ndarray]:
    """Seconds (repeats,) of each run, all in turn, after two turns that are not measured."""
    times = {name: np.empty(repeats) for name in runs}
    for number in range(-2, repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if number >= 0:
                times[name][number] = time.perf_counter() - began
    return times


def rotation_errors(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> np.ndarray:
    """(B,) degrees between the rotations of the hypothesis that is the most confident in `expected`."""
    index = expected["confidence"].argmax(1)
    rows = torch.arange(len(index))
    a, b = found["rotation"][rows, index].double(), expected["rotation"][rows, index].double()
    cosine = ((a.transpose(1, 2) @ b).diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return np.degrees(np.arccos(cosine.clamp(-1, 1).numpy()))


if __name__ == "__main__":
    main()
