"""A model becomes two ONNX files that their description is enough to run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from binpose import cli
from binpose_core.base.files import read_json
from binpose_core.base.stopwatch import Stopwatch
from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def shape(entry: dict, lengths: dict[str, int]) -> list[int]:
    return [lengths.get(length, length) for length in entry["shape"]]


def test_the_description_is_enough_to_run_the_networks(networks: PipelineBundle, tmp_path: Path) -> None:
    version = save_bundle(networks, tmp_path / "model")
    assert cli.main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "onnx")]) == 0
    described = read_json(tmp_path / "onnx/model.json")
    assert described["version"] == version
    pose, detector = described["networks"]["pose"], described["networks"]["detector"]
    assert pose["classes"] == list(networks.objects) and set(pose["diameters_m"]) == set(networks.objects)
    assert pose["crop"]["images"]["points"] == ["x", "y", "z"]
    rng = np.random.default_rng(0)
    lengths = {"batch": 4, "height": 64, "width": 32, "half_height": 32, "half_width": 16}
    loaded = load_bundle(tmp_path / "model")
    for entry, network in ((pose, loaded.estimator.network), (detector, loaded.segmenter.network)):
        session = runtime.InferenceSession(str(tmp_path / "onnx" / entry["file"]), providers=["CPUExecutionProvider"])
        feed = {}
        for tensor in entry["inputs"]:
            value = rng.random(shape(tensor, lengths)) if tensor["type"] == "float32" else np.zeros(lengths["batch"])
            feed[tensor["name"]] = value.astype(tensor["type"])
        found = session.run([tensor["name"] for tensor in entry["outputs"]], feed)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(value) for value in feed.values()))
        expected = expected if isinstance(expected, tuple) else vars(expected).values()
        for tensor, value, true in zip(entry["outputs"], found, expected, strict=True):
            assert list(value.shape) == shape(tensor, lengths) and str(value.dtype) == tensor["type"]
            np.testing.assert_allclose(value, true.numpy(), rtol=1e-3, atol=1e-3)


def test_a_loaded_model_runs_with_either_engine(networks: PipelineBundle, tmp_path: Path, scenes) -> None:
    save_bundle(networks, tmp_path)
    torch_poses, onnx_poses = (
        load_bundle(tmp_path, engine=engine).pipeline.propose(scenes[0].frame, Stopwatch()).estimates
        for engine in ("torch", "onnxruntime")
    )
    assert [pose.object_id for pose in torch_poses] == [pose.object_id for pose in onnx_poses]
