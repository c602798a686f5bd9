"""A new model gets in whole, checked, or not at all; the one before stays at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.learning.bundle import Checks, ModelBundle, ModelSlot, load_model
from binpose_core.learning.model_store import ModelStore, StoredModel
from binpose_core.parts.objects import ObjectModel, objects_to_tensors


def saved(store: Path, bar: ObjectModel, weight: float, **header: Any) -> str:
    tensors, infos = objects_to_tensors([bar])
    arrays = {"w": np.array([weight], np.float32), **{f"object/{name}": value for name, value in tensors.items()}}
    return ModelStore(store).save(arrays, {"objects": infos, "config": {}, "metrics": {"recall": 0.5}, **header})


def build(stored: StoredModel, objects: Mapping[str, ObjectModel]) -> float:
    return float(stored.tensors["w"][0])


SCORED = Checks[float](score=lambda stage, objects: stage)


def test_a_model_is_loaded_with_what_belongs_to_it(tmp_path: Path, bar: ObjectModel) -> None:
    version = saved(tmp_path, bar, 0.5)
    model = load_model(tmp_path, version[:12], build, Checks(), ModelBundle)
    assert (model.stage, model.version, list(model.objects)) == (0.5, version, ["bar"])
    assert Path(model.location).is_file() and model.metrics == {"recall": 0.5}


def test_a_worse_golden_score_is_refused_and_an_equal_one_is_not(tmp_path: Path, bar: ObjectModel) -> None:
    now = load_model(tmp_path, saved(tmp_path, bar, 0.5), build, SCORED, ModelBundle)
    assert load_model(tmp_path, saved(tmp_path, bar, 0.75), build, SCORED, ModelBundle, now).golden == 0.75
    assert load_model(tmp_path, now.version, build, SCORED, ModelBundle, now).golden == 0.5
    with pytest.raises(BinposeError, match=r"scores 0\.250 .* 0\.500"):
        load_model(tmp_path, saved(tmp_path, bar, 0.25), build, SCORED, ModelBundle, now)


def test_a_version_that_the_gate_promoted_over_the_model_in_use_is_loaded(tmp_path: Path, bar: ObjectModel) -> None:
    now = load_model(tmp_path, saved(tmp_path, bar, 0.5), build, SCORED, ModelBundle)
    store, worse = ModelStore(tmp_path), saved(tmp_path, bar, 0.25)
    for champion, decision in (("another", "promoted"), (now.version, "refused"), (now.version, "undecided")):
        store.record_verdict(worse, {"decision": decision, "champion": champion})
        with pytest.raises(BinposeError, match=r"scores 0\.250"):
            load_model(tmp_path, worse, build, SCORED, ModelBundle, now)
    store.record_verdict(worse, {"decision": "promoted", "champion": now.version})
    assert load_model(tmp_path, worse, build, SCORED, ModelBundle, now).golden == 0.25


def test_a_rollback_is_loaded_although_it_scores_lower(tmp_path: Path, bar: ObjectModel) -> None:
    store, old = ModelStore(tmp_path), saved(tmp_path, bar, 0.25)
    new = saved(tmp_path, bar, 0.5)
    store.promote(new)
    now = load_model(tmp_path, new, build, SCORED, ModelBundle)
    store.rollback("It leaves the band.")
    assert load_model(tmp_path, "", build, SCORED, ModelBundle, now).version == old
    assert store.verdicts(old)[-1]["reasons"] == ["Rolled back.", "It leaves the band."]


def test_damaged_verdicts_do_not_keep_a_better_model_out(tmp_path: Path, bar: ObjectModel) -> None:
    now = load_model(tmp_path, saved(tmp_path, bar, 0.5), build, SCORED, ModelBundle)
    better = saved(tmp_path, bar, 0.75)
    (tmp_path / f"verdict-{better[:12]}.json").write_text("{")
    assert load_model(tmp_path, better, build, SCORED, ModelBundle, now).golden == 0.75


def test_both_models_are_scored_on_the_frames_of_now(tmp_path: Path, bar: ObjectModel) -> None:
    """Those of the new model's store may be others than the model in use was scored on, or be new."""
    now = load_model(tmp_path, saved(tmp_path, bar, 0.5), build, Checks(), ModelBundle)
    assert now.golden is None
    harder = Checks[float](score=lambda stage, objects: stage / 2)
    assert load_model(tmp_path, saved(tmp_path, bar, 0.75), build, harder, ModelBundle, now).golden == 0.375
    with pytest.raises(BinposeError, match=r"scores 0\.125 .* 0\.250"):
        load_model(tmp_path, saved(tmp_path, bar, 0.25), build, harder, ModelBundle, now)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bar: ObjectModel, weight: float) -> None:
    with pytest.raises(BinposeError, match=r"'w'.*NaN or infinity"):
        load_model(tmp_path, saved(tmp_path, bar, weight), build, Checks(), ModelBundle)


def test_altered_weights_are_refused(tmp_path: Path, bar: ObjectModel) -> None:
    version = saved(tmp_path, bar, 0.5)
    path = next(tmp_path.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BinposeError, match="sha256"):
        load_model(tmp_path, version, build, Checks(), ModelBundle)


def test_a_model_must_know_the_parts(tmp_path: Path, bar: ObjectModel) -> None:
    version = saved(tmp_path, bar, 0.5)
    with pytest.raises(BinposeError, match="does not know gear; it knows bar"):
        load_model(tmp_path, version, build, Checks(objects=["gear"]), ModelBundle)
    other = ModelBundle(0.5, {"gear": bar}, "0" * 64, None, tmp_path)
    with pytest.raises(BinposeError, match="does not know gear"):
        load_model(tmp_path, version, build, Checks(), ModelBundle, other)


def test_a_model_that_fails_when_it_is_tried_is_refused(tmp_path: Path, bar: ObjectModel) -> None:
    def warm_up(stage: float, objects: Mapping[str, ObjectModel]) -> None:
        raise BinposeError("It fails.")

    with pytest.raises(BinposeError, match="It fails"):
        load_model(tmp_path, saved(tmp_path, bar, 0.5), build, Checks(warm_up=warm_up), ModelBundle)


def test_a_header_that_describes_no_model_is_one_sentence(tmp_path: Path, bar: ObjectModel) -> None:
    version = saved(tmp_path, bar, 0.5, objects=[{"id": "bar"}])
    with pytest.raises(BinposeError, match="is incomplete"):
        load_model(tmp_path, version, build, Checks(), ModelBundle)


def test_the_slot_keeps_the_model_before() -> None:
    slot: ModelSlot[int] = ModelSlot()
    first, second, third = (ModelBundle(n, {}, f"{n}" * 64, None, Path("store")) for n in (1, 2, 3))
    assert slot.current is None and slot.previous is None
    with pytest.raises(BinposeError, match="no earlier model"):
        slot.earlier()
    slot.exchange(first)
    slot.exchange(second)
    assert (slot.current, slot.previous) == (second, first)
    assert slot.find("11111") is first and slot.find("") is second
    assert slot.earlier() is first
    slot.exchange(first)
    assert (slot.current, slot.previous) == (first, second)
    slot.exchange(second)
    assert (slot.current, slot.previous) == (second, first)
    slot.exchange(third)
    assert slot.find("2222") is second
    with pytest.raises(BinposeError, match="111111111111"):
        slot.find("1" * 12)


def test_models_that_are_only_offered_do_not_drive_those_in_use_out() -> None:
    slot: ModelSlot[int] = ModelSlot()
    models = [ModelBundle(n, {}, f"{n}" * 64, None, Path("store")) for n in range(1, 6)]
    slot.exchange(models[0])
    slot.exchange(models[1])
    for offered in models[2:]:
        slot.offer(offered)
        assert slot.find(offered.version) is offered
    assert slot.held() == (models[1], models[0], models[4])
    slot.exchange(models[4])
    assert slot.held() == (models[4], models[1])
    slot.clear()
    with pytest.raises(BinposeError, match="configure the node first"):
        slot.find("")
