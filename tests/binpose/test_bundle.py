"""A model that was saved is the model that is loaded, and a damaged one is refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose import cli
from binpose.bundle import ModelBundle, load_bundle, save_bundle
from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.model_store import ModelStore
from binpose_detection.network import SegmentationNetwork
from binpose_detection.segmenter import Segmenter, SegmenterConfig
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.network import PoseNetwork
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import FEATURES


@pytest.fixture
def networks(objects: Sequence[ObjectModel], rng: np.random.Generator) -> ModelBundle:
    """The smallest networks there can be, untrained."""
    torch.manual_seed(0)
    parts = {model.id: model for model in objects}
    names, n = tuple(parts), len(FEATURES)
    segmenter_config = SegmenterConfig(names, widths=(8, 8, 8, 8))
    estimator_config = EstimatorConfig(names, widths=(8, 8, 8), hypotheses=2)
    shapes = {"mean": n, "scale": n, "hidden": (n, 2), "hidden_bias": 2, "out": 2, "skip": n, "bias": ()}
    calibration = Calibration(**{name: rng.uniform(0.5, 1.0, shape) for name, shape in shapes.items()})
    return ModelBundle(
        Segmenter(SegmentationNetwork(2, segmenter_config.widths), segmenter_config),
        PoseEstimator(PoseNetwork(2, estimator_config.widths, 2), estimator_config, parts),
        IcpRefiner(parts, RefinerConfig(keep_best=3), calibration),
        parts,
        metrics={"recall": 0.5},
    )


def test_a_loaded_model_is_the_saved_one(networks: ModelBundle, tmp_path: Path, scenes: Sequence) -> None:
    version = save_bundle(networks, tmp_path / "model", header={"training": {"seed": 4}})
    loaded = load_bundle(tmp_path / "model")
    assert (loaded.version, loaded.parent, loaded.metrics) == (version, None, {"recall": 0.5})
    assert list(loaded.objects) == list(networks.objects)
    for name, model in networks.objects.items():
        np.testing.assert_array_equal(loaded.objects[name].mesh.vertices, model.mesh.vertices)
        np.testing.assert_allclose(loaded.objects[name].symmetries.transforms(), model.symmetries.transforms())
    assert loaded.refiner.config == networks.refiner.config
    np.testing.assert_allclose(loaded.refiner.calibration.hidden, networks.refiner.calibration.hidden, rtol=1e-6)
    frame = scenes[0].frame
    ours, theirs = networks.segmenter(frame), loaded.segmenter(frame)
    assert [(d.object_id, d.score, d.bbox_xyxy) for d in ours] == [(d.object_id, d.score, d.bbox_xyxy) for d in theirs]


def test_saving_what_was_loaded_gives_the_same_version(networks: ModelBundle, tmp_path: Path) -> None:
    first = save_bundle(networks, tmp_path / "a")
    assert save_bundle(load_bundle(tmp_path / "a"), tmp_path / "b") == first


def test_half_precision_is_half_the_size(networks: ModelBundle, tmp_path: Path) -> None:
    save_bundle(networks, tmp_path / "full")
    save_bundle(networks, tmp_path / "half", half=True)
    full, half = (next((tmp_path / name).glob("*.safetensors")).stat().st_size for name in ("full", "half"))
    assert half < full
    loaded = load_bundle(tmp_path / "half")
    for key, value in networks.segmenter.to_tensors()[0].items():
        np.testing.assert_allclose(loaded.segmenter.to_tensors()[0][key], value, atol=2e-3)


def test_any_version_can_be_loaded_and_the_promoted_one_is_by_default(networks: ModelBundle, tmp_path: Path) -> None:
    first = save_bundle(networks, tmp_path)
    for parameter in networks.segmenter.network.parameters():
        parameter.data += 0.25
    second = save_bundle(networks, tmp_path, parent=first, promote=False)
    assert first != second
    assert load_bundle(tmp_path).version == first
    assert load_bundle(tmp_path, version=second[:8]).parent == first
    assert load_bundle(tmp_path / f"weights-{second[:12]}.safetensors").version == second


def damage_truncated(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def damage_altered(weights: Path) -> None:
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(bytes(data))


def damage_missing(weights: Path) -> None:
    weights.unlink()


def damage_header(weights: Path) -> None:
    path = weights.with_suffix(".json")
    header = json.loads(path.read_text())
    del header["config"]
    path.write_text(json.dumps(header))


@pytest.mark.parametrize("damage", [damage_truncated, damage_altered, damage_missing, damage_header])
def test_damaged_models_give_one_sentence(
    networks: ModelBundle, tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture, damage
) -> None:
    save_bundle(networks, tmp_path / "model")
    damage(next((tmp_path / "model").glob("*.safetensors")))
    with pytest.raises(BinposeError):
        load_bundle(tmp_path / "model")
    out = tmp_path / "run"
    assert cli.main(["estimate", str(dataset), "--model", str(tmp_path / "model"), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error:") and "Traceback" not in message
    assert not out.exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "weights-0123.safetensors"):
        with pytest.raises(BinposeError):
            load_bundle(path)


def test_a_full_disk_leaves_nothing_behind(
    networks: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BinposeError, match="space"):
        save_bundle(networks, tmp_path / "model")
    assert not [path for path in (tmp_path / "model").glob("**/*") if path.is_file()]
    assert ModelStore(tmp_path / "model").versions() == []
