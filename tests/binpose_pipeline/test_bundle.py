"""A model that was saved is the model that is loaded, and a damaged one is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from binpose import cli
from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore
from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle, store_and_version
from binpose_refinement.refiner import IcpRefiner


def test_a_loaded_model_is_the_saved_one(networks: PipelineBundle, tmp_path: Path, scenes: Sequence) -> None:
    version = save_bundle(networks, tmp_path / "model", header={"training": {"seed": 4}})
    loaded = load_bundle(tmp_path / "model")
    assert (loaded.version, loaded.parent, loaded.metrics) == (version, None, {"recall": 0.5})
    assert list(loaded.objects) == list(networks.objects)
    for name, model in networks.objects.items():
        np.testing.assert_array_equal(loaded.objects[name].mesh.vertices, model.mesh.vertices)
        np.testing.assert_allclose(loaded.objects[name].symmetries.transforms(), model.symmetries.transforms())
    assert loaded.refiner.config == networks.refiner.config
    np.testing.assert_allclose(loaded.refiner.calibration.slopes, networks.refiner.calibration.slopes, rtol=1e-6)
    frame = scenes[0].frame
    ours, theirs = networks.segmenter(frame), loaded.segmenter(frame)
    assert [(d.object_id, d.score, d.bbox_xyxy) for d in ours] == [(d.object_id, d.score, d.bbox_xyxy) for d in theirs]


def test_saving_what_was_loaded_gives_the_same_version(networks: PipelineBundle, tmp_path: Path) -> None:
    first = save_bundle(networks, tmp_path / "a")
    assert save_bundle(load_bundle(tmp_path / "a"), tmp_path / "b") == first


def test_half_precision_is_half_the_size(networks: PipelineBundle, tmp_path: Path) -> None:
    save_bundle(networks, tmp_path / "full")
    save_bundle(networks, tmp_path / "half", half=True)
    full, half = (next((tmp_path / name).glob("*.safetensors")).stat().st_size for name in ("full", "half"))
    assert half < full
    loaded = load_bundle(tmp_path / "half")
    for key, value in networks.segmenter.to_tensors()[0].items():
        np.testing.assert_allclose(loaded.segmenter.to_tensors()[0][key], value, atol=2e-3)


def test_any_version_can_be_loaded_and_the_promoted_one_is_by_default(networks: PipelineBundle, tmp_path: Path) -> None:
    first = save_bundle(networks, tmp_path)
    for parameter in networks.segmenter.network.parameters():
        parameter.data += 0.25
    second = save_bundle(networks, tmp_path, parent=first, promote=False)
    assert first != second
    assert load_bundle(tmp_path).version == first
    assert load_bundle(tmp_path, version=second[:8]).parent == first
    assert load_bundle(tmp_path / f"weights-{second[:12]}.safetensors").version == second
    assert load_bundle(f"{tmp_path}@{second[:8]}").version == second
    ModelStore(tmp_path).nominate(second)
    assert load_bundle(f"{tmp_path}@candidate").version == second
    with pytest.raises(BinposeError, match="0000"):
        load_bundle(f"{tmp_path}@0000")


def test_a_version_is_named_after_the_folder(tmp_path: Path) -> None:
    assert store_and_version(Path("cell@candidate")) == (Path("cell"), "candidate")
    assert store_and_version(Path(".@abc")) == (Path(), "abc")
    assert store_and_version(Path("cell")) == (Path("cell"), "")
    (tmp_path / "a@b").mkdir()
    assert store_and_version(tmp_path / "a@b") == (tmp_path / "a@b", ""), "a folder of that name counts"


@pytest.mark.parametrize("command", [["calibrate", "{}"], ["self-train", ".", "--model", "{}"]])
def test_what_changes_a_store_takes_no_single_version(
    networks: PipelineBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    version = save_bundle(networks, tmp_path / "cell")
    (tmp_path / "frames").mkdir()
    name = f"{tmp_path / 'cell'}@{version[:8]}"
    assert cli.main([part.format(name) for part in command]) == 2
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "is one version of a store" in printed
    assert ModelStore(tmp_path / "cell").versions() == [version]


def damage_truncated(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def damage_altered(weights: Path) -> None:
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(bytes(data))


def damage_missing(weights: Path) -> None:
    weights.unlink()


@pytest.mark.parametrize("damage", [damage_truncated, damage_altered, damage_missing])
def test_damaged_models_give_one_sentence(
    networks: PipelineBundle, tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture, damage
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


HEADERS_OF_NO_MODEL: dict[str, Callable[[dict], object]] = {
    "no config": lambda header: header.pop("config"),
    "no objects": lambda header: header.pop("objects"),
    "null objects": lambda header: header.update(objects=None),
    "objects without entries": lambda header: header.update(objects=["step"]),
    "no grouping": lambda header: header["config"]["segmenter"].pop("grouping"),
    "unknown setting of the segmenter": lambda header: header["config"]["segmenter"].update(colour="red"),
    "unknown setting of the estimator": lambda header: header["config"]["estimator"].update(colour="red"),
    "no part in the estimator": lambda header: header["config"]["estimator"].update(objects=[]),
    "other width than the weights": lambda header: header["config"]["estimator"].update(widths=[16, 8, 8]),
    "negative width": lambda header: header["config"]["estimator"].update(widths=[-8, 8, 8]),
    "no length per pixel": lambda header: header["config"]["estimator"].update(gsd_m="wide"),
    "no pixels": lambda header: header["config"]["estimator"].update(max_pixels=None),
    "a length per pixel below zero": lambda header: header["config"]["segmenter"].update(gsd_m=-1e-3),
    "no number": lambda header: header["config"]["estimator"].update(hypotheses="five"),
    "unknown setting of the refiner": lambda header: header["config"]["refiner"].update(colour="red"),
    "no refiner": lambda header: header["config"].update(refiner=None),
    "metrics that are none": lambda header: header.update(metrics=3),
}


def edit_header(store: Path, change: Callable[[dict], object]) -> None:
    """Put a version with another header in the place of the one in use, as another release would have written it."""
    models = ModelStore(store)
    stored = models.load()
    change(stored.header)
    models.promote(models.save(stored.tensors, stored.header))


@pytest.mark.parametrize("damage", HEADERS_OF_NO_MODEL.values(), ids=HEADERS_OF_NO_MODEL)
def test_a_header_of_another_version_gives_one_sentence_with_both(
    networks: PipelineBundle, tmp_path: Path, damage: Callable[[dict], object]
) -> None:
    save_bundle(networks, tmp_path)
    edit_header(tmp_path, lambda header: header.update(binpose="0.0.7"))
    edit_header(tmp_path, damage)
    with pytest.raises(BinposeError, match=r"written by binpose 0\.0\.7, and this is binpose ") as raised:
        load_bundle(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_header_tells_what_wrote_it_and_one_that_does_not_still_loads(
    networks: PipelineBundle, tmp_path: Path
) -> None:
    version = save_bundle(networks, tmp_path)
    header = ModelStore(tmp_path).header(version)
    assert header["binpose"] and header["calibrated"] is True
    edit_header(tmp_path, lambda header: [header.pop(key) for key in ("binpose", "calibrated")])
    assert load_bundle(tmp_path).calibrated


def test_a_model_without_calibration_says_so(networks: PipelineBundle, tmp_path: Path) -> None:
    version = save_bundle(networks.using(refiner=IcpRefiner(networks.objects)), tmp_path)
    assert ModelStore(tmp_path).header(version)["calibrated"] is False
    assert not load_bundle(tmp_path).calibrated


def test_a_gpu_that_is_not_there_is_told(
    networks: PipelineBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(networks, tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BinposeError, match=r"device is 'cuda', but torch sees no GPU; .* choose the device cpu"):
        load_bundle(tmp_path, "cuda")
    with pytest.raises(BinposeError, match=r"device is 'gpu'; expected cpu or cuda"):
        load_bundle(tmp_path, "gpu")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "weights-0123.safetensors"):
        with pytest.raises(BinposeError):
            load_bundle(path)


def test_a_full_disk_leaves_nothing_behind(
    networks: PipelineBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BinposeError, match="space"):
        save_bundle(networks, tmp_path / "model")
    assert not [path for path in (tmp_path / "model").glob("**/*") if path.is_file()]
    assert ModelStore(tmp_path / "model").versions() == []
