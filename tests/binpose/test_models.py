"""`binpose models` lists what is there."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

from binpose import cli
from binpose.commands.model_tree import tree_rows
from binpose.commands.models import find_stores, metrics_text, store_rows
from binpose_core.learning.model_store import ModelStore


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one model of two versions."""
    store = ModelStore(tmp_path / "models" / "wrs")
    header = {"objects": [{"id": "gear"}, {"id": "bolt"}]}
    first = store.save({"a": np.zeros(3, np.float32)}, {**header, "metrics": {"recall": 0.91, "table": {}}})
    store.save({"a": np.ones(3, np.float32)}, {**header, "metrics": {}, "calibrated": False}, parent=first)
    return tmp_path / "models"


def test_every_version_has_its_line(models: Path) -> None:
    (store,) = find_stores(models)
    first, second = store_rows(store)
    assert first[1].endswith("*") and not second[1].endswith("*")  # the one in use
    assert second[2] == first[1].removesuffix(" *")  # its parent
    assert first[3] == "gear, bolt" and first[4] == "recall 0.91" and second[4] == "not calibrated"


def test_a_models_own_folder_and_the_folder_above_are_both_accepted(
    models: Path, capsys: pytest.CaptureFixture
) -> None:
    for path in (models, models / "wrs"):
        assert cli.main(["models", str(path)]) == 0
        assert "wrs" in capsys.readouterr().out.replace("\n", "")


def test_an_empty_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["models", str(tmp_path)]) == 2
    assert "binpose train" in capsys.readouterr().err


def test_a_shipped_model_is_listed_by_its_name(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["models", "demo"]) == 0
    assert "demo" in capsys.readouterr().out


def test_a_header_that_the_version_does_not_cover_is_named_until_it_is_saved_anew(
    models: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["models", str(models)]) == 0
    assert "does not cover" not in capsys.readouterr().out
    (store,) = find_stores(models)
    old = stored_without_digest(store)
    assert cli.main(["models", str(models)]) == 0
    assert f"does not cover the header of {old[:12]}" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["models", str(models), "--reseal"]) == 0
    assert f"{old[:12]} is saved again as" in capsys.readouterr().out
    assert len(store.versions()) == 4
    assert cli.main(["models", str(models), "--reseal"]) == 0
    assert "is saved again as" not in capsys.readouterr().out and len(store.versions()) == 4


def stored_without_digest(store: ModelStore) -> str:
    """A version as earlier releases wrote it."""
    data = save_tensors({"a": np.full(3, 2.0, np.float32)})
    version = hashlib.sha256(data).hexdigest()
    path = store.directory / f"weights-{version[:12]}.safetensors"
    path.write_bytes(data)
    header = {"format": "binpose-model-1", "sha256": version, "bytes": len(data), "created": "2026", "parent": None}
    path.with_suffix(".json").write_text(json.dumps({**header, "objects": [{"id": "cog"}]}))
    return version


def test_damaged_versions_are_told(models: Path, capsys: pytest.CaptureFixture) -> None:
    (store,) = find_stores(models)
    first, second = store.versions()
    weights = store.directory / f"weights-{second[:12]}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    assert cli.main(["models", str(models)]) == cli.FAILED
    shown = capsys.readouterr()
    assert first[:12] in shown.out and f"{weights.name} has" in shown.err
    (store.directory / f"weights-{first[:12]}.json").write_text("{")
    assert len(store.damages()) == 2


def test_the_figures_of_all_objects_come_first() -> None:
    assert metrics_text({"frames": 40, "objects": {"all": {"recall": 0.95, "precision": None}}}) == "recall 0.95"
    assert metrics_text({}) == "-"


def test_the_tree_shows_each_model_below_its_parent_with_alias_and_verdict(
    models: Path, capsys: pytest.CaptureFixture
) -> None:
    (store,) = find_stores(models)
    first, second = store.versions()
    other = store.save({"a": np.full(3, 5.0, np.float32)}, {"objects": [], "data_sha256": "feed" * 16})
    grandchild = store.save({"a": np.full(3, 7.0, np.float32)}, {"objects": []}, parent=second)
    store.nominate(second)
    store.record_verdict(second, {"decision": "refused", "champion": first, "reasons": ["bolt: lost."]})
    rows = list(tree_rows(store, metrics_text))
    assert [row[0] for row in rows] == [first[:12], f"└ {second[:12]}", f"  └ {grandchild[:12]}", other[:12]]
    assert [row[1] for row in rows] == ["champion", "candidate", "-", "-"]
    assert rows[3][2] == "feedfeedfeed" and rows[0][2] == "-" and rows[0][3] == "recall 0.91"
    assert rows[1][4] == f"refused over {first[:12]}: bolt: lost." and rows[0][4] == "-"
    assert cli.main(["models", str(models), "--tree"]) == 0
    assert "candidate" in capsys.readouterr().out


def test_a_version_is_promoted_and_rolled_back(models: Path, capsys: pytest.CaptureFixture) -> None:
    (store,) = find_stores(models)
    first, second = store.versions()
    assert cli.main(["models", str(models), "--promote", second[:8]]) == 0
    assert store.current() == second
    assert "No verdict of the gate" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["models", str(models), "--rollback"]) == 0
    assert store.current() == first
    store.record_verdict(second, {"decision": "promoted", "champion": first})
    capsys.readouterr()
    assert cli.main(["models", str(models), "--promote", "previous"]) == 0
    assert store.current() == second
    assert "No verdict of the gate" not in capsys.readouterr().out


def test_a_choice_needs_one_model(models: Path, capsys: pytest.CaptureFixture) -> None:
    ModelStore(models / "other").save({"a": np.zeros(3, np.float32)}, {})
    assert cli.main(["models", str(models), "--rollback"]) == 2
    assert "give its own folder" in " ".join(capsys.readouterr().err.split())
