"""A new model gets in whole, checked, or not at all; the one before stays at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore, StoredModel
from binpose_core.parts.objects import ObjectModel, objects_to_tensors
from binpose_ros.models import Checks, LoadedModel, ModelSlot, load_model


def saved(store: Path, block: ObjectModel, weight: float, **header: Any) -> str:
    tensors, infos = objects_to_tensors([block])
    arrays = {"w": np.array([weight], np.float32), **{f"object/{name}": value for name, value in tensors.items()}}
    return ModelStore(store).save(arrays, {"objects": infos, "metrics": {"recall": 0.5}, **header})


def build(stored: StoredModel, objects: Mapping[str, ObjectModel]) -> float:
    return float(stored.tensors["w"][0])


SCORED = Checks[float](score=lambda stage, objects: stage)


def test_a_model_is_loaded_with_what_belongs_to_it(tmp_path: Path, block: ObjectModel) -> None:
    version = saved(tmp_path, block, 0.5)
    model = load_model(tmp_path, version[:12], build, Checks())
    assert (model.stage, model.version, list(model.objects)) == (0.5, version, ["block"])
    assert Path(model.location).is_file() and model.metrics == {"recall": 0.5}


def test_a_worse_golden_score_is_refused_and_an_equal_one_is_not(tmp_path: Path, block: ObjectModel) -> None:
    now = load_model(tmp_path, saved(tmp_path, block, 0.5), build, SCORED)
    assert load_model(tmp_path, saved(tmp_path, block, 0.75), build, SCORED, now).golden == 0.75
    assert load_model(tmp_path, now.version, build, SCORED, now).golden == 0.5
    with pytest.raises(BinposeError, match=r"scores 0\.250 .* 0\.500"):
        load_model(tmp_path, saved(tmp_path, block, 0.25), build, SCORED, now)


def test_both_models_are_scored_on_the_frames_of_now(tmp_path: Path, block: ObjectModel) -> None:
    """Those of the new model's store may be others than the model in use was scored on, or be new."""
    now = load_model(tmp_path, saved(tmp_path, block, 0.5), build, Checks())
    assert now.golden is None
    harder = Checks[float](score=lambda stage, objects: stage / 2)
    assert load_model(tmp_path, saved(tmp_path, block, 0.75), build, harder, now).golden == 0.375
    with pytest.raises(BinposeError, match=r"scores 0\.125 .* 0\.250"):
        load_model(tmp_path, saved(tmp_path, block, 0.25), build, harder, now)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, block: ObjectModel, weight: float) -> None:
    with pytest.raises(BinposeError, match=r"'w'.*NaN or infinity"):
        load_model(tmp_path, saved(tmp_path, block, weight), build, Checks())


def test_altered_weights_are_refused(tmp_path: Path, block: ObjectModel) -> None:
    version = saved(tmp_path, block, 0.5)
    path = next(tmp_path.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BinposeError, match="sha256"):
        load_model(tmp_path, version, build, Checks())


def test_a_model_must_know_the_parts(tmp_path: Path, block: ObjectModel) -> None:
    version = saved(tmp_path, block, 0.5)
    with pytest.raises(BinposeError, match="does not know gear; it knows block"):
        load_model(tmp_path, version, build, Checks(objects=["gear"]))
    other = LoadedModel(0.5, {"gear": block}, "0" * 64, None, tmp_path)
    with pytest.raises(BinposeError, match="does not know gear"):
        load_model(tmp_path, version, build, Checks(), other)


def test_a_model_that_fails_when_it_is_tried_is_refused(tmp_path: Path, block: ObjectModel) -> None:
    def warm_up(stage: float, objects: Mapping[str, ObjectModel]) -> None:
        raise BinposeError("It fails.")

    with pytest.raises(BinposeError, match="It fails"):
        load_model(tmp_path, saved(tmp_path, block, 0.5), build, Checks(warm_up=warm_up))


def test_a_header_that_describes_no_model_is_one_sentence(tmp_path: Path, block: ObjectModel) -> None:
    version = saved(tmp_path, block, 0.5, objects=[{"id": "block"}])
    with pytest.raises(BinposeError, match="not whole"):
        load_model(tmp_path, version, build, Checks())


def test_the_slot_keeps_the_model_before() -> None:
    slot: ModelSlot[int] = ModelSlot()
    first, second, third = (LoadedModel(n, {}, f"{n}" * 64, None, Path("store")) for n in (1, 2, 3))
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
    models = [LoadedModel(n, {}, f"{n}" * 64, None, Path("store")) for n in range(1, 6)]
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
