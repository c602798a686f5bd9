"""Aliases name one version each at any time, and verdicts are kept beside the versions they are about."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError, DamagedModel, UnknownVersion
from binpose_core.base.file_lock import Locked
from binpose_core.learning.model_store import ModelStore
from binpose_core.learning.store_records import self_training_lock


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def saved(store: ModelStore, value: float) -> str:
    return store.save({"w": np.full(3, value, np.float32)}, {"value": value})


def test_a_promotion_remembers_the_version_before(store: ModelStore) -> None:
    first, second, third = (saved(store, value) for value in (1, 2, 3))
    assert store.aliases() == {"champion": first}
    store.promote(second)
    assert store.aliases() == {"champion": second, "previous": first}
    store.promote(second)
    assert store.aliases() == {"champion": second, "previous": first}, "promoting it again changes nothing"
    store.promote(third)
    assert store.aliases() == {"champion": third, "previous": second}


def test_a_rollback_restores_the_version_before_and_is_undone_by_another(store: ModelStore) -> None:
    first, second = saved(store, 1), saved(store, 2)
    store.promote(second)
    assert store.rollback() == first == store.current()
    assert store.rollback() == second == store.current()


def test_without_a_previous_version_there_is_no_rollback(store: ModelStore) -> None:
    first = saved(store, 1)
    with pytest.raises(UnknownVersion, match="no previous version"):
        store.rollback()
    assert store.current() == first


def test_versions_are_loaded_by_alias(store: ModelStore) -> None:
    first, second, third = (saved(store, value) for value in (1, 2, 3))
    store.promote(second)
    store.nominate(third[:10])
    found = {alias: store.load(alias).version for alias in ("champion", "candidate", "previous")}
    assert found == {"champion": second, "candidate": third, "previous": first}
    assert store.header("candidate")["value"] == 3 and store.resolve("previous") == first


def test_an_alias_that_is_not_set_is_refused(store: ModelStore) -> None:
    first = saved(store, 1)
    with pytest.raises(UnknownVersion, match=f"has no candidate; set aliases: champion {first[:12]}"):
        store.load("candidate")


def test_a_promoted_candidate_is_no_candidate_any_more(store: ModelStore) -> None:
    first, second, third = (saved(store, value) for value in (1, 2, 3))
    store.nominate(second)
    store.promote(third)
    assert store.aliases() == {"champion": third, "previous": first, "candidate": second}
    store.promote("candidate")
    assert store.aliases() == {"champion": second, "previous": third}
    store.nominate(first)
    store.nominate(None)
    assert "candidate" not in store.aliases()


def test_a_damaged_version_gets_no_alias(store: ModelStore) -> None:
    first, second = saved(store, 1), saved(store, 2)
    path = store.directory / f"weights-{second[:12]}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    for change in (store.promote, store.nominate):
        with pytest.raises(DamagedModel):
            change(second)
    assert store.aliases() == {"champion": first}


def test_verdicts_are_kept_in_their_order(store: ModelStore) -> None:
    first, second = saved(store, 1), saved(store, 2)
    assert store.verdicts(second) == []
    for decision in ("undecided", "refused", "promoted"):
        store.record_verdict(second, {"decision": decision, "champion": first, "reasons": ["x"]})
    assert [verdict["decision"] for verdict in store.verdicts(second[:12])] == ["undecided", "refused", "promoted"]
    assert all(verdict["recorded"].endswith("+00:00") for verdict in store.verdicts(second))
    assert store.verdicts(first) == [] and store.versions() == [first, second] and store.damages() == []


def test_the_last_verdict_against_a_champion_counts(store: ModelStore) -> None:
    first, second = saved(store, 1), saved(store, 2)
    assert not store.promoted_over(second, first)
    store.record_verdict(second, {"decision": "promoted", "champion": first})
    assert store.promoted_over(second, first) and not store.promoted_over(second, second)
    store.record_verdict(second, {"decision": "promoted", "champion": "another"})
    assert store.promoted_over(second, first)
    store.record_verdict(second, {"decision": "refused", "champion": first})
    assert not store.promoted_over(second, first)


@pytest.mark.parametrize("content", ["", "[]", '{"version": "x", "verdicts": []}', '{"version": "%s", "verdicts": 3}'])
def test_damaged_verdicts_are_named(store: ModelStore, content: str) -> None:
    version = saved(store, 1)
    path = store.directory / f"verdict-{version[:12]}.json"
    path.write_text(content.replace("%s", version))
    with pytest.raises(DamagedModel, match=path.name):
        store.verdicts(version)
    assert store.load().version == version


RECORD_MANY = """
import sys
from binpose_core.learning.model_store import ModelStore
for _ in range(10):
    ModelStore(sys.argv[1]).record_verdict(sys.argv[2], {"decision": "undecided", "writer": int(sys.argv[3])})
"""


def test_verdicts_of_several_writers_are_all_kept(store: ModelStore) -> None:
    version = saved(store, 1)
    command = [sys.executable, "-c", RECORD_MANY, str(store.directory), version]
    writers = [subprocess.Popen([*command, str(n)]) for n in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = [verdict["writer"] for verdict in store.verdicts(version)]
    assert found.count(0) == found.count(1) == 10


def test_one_self_training_at_a_time_and_the_store_stays_usable(store: ModelStore) -> None:
    saved(store, 1)
    with self_training_lock(store.directory):
        with pytest.raises(Locked, match="self-training"), self_training_lock(store.directory):
            pass
        store.promote(saved(store, 2))
    with self_training_lock(store.directory) as before:
        assert before is None


def test_a_pointer_of_an_earlier_release_is_read(store: ModelStore) -> None:
    first, second = saved(store, 1), saved(store, 2)
    (store.directory / "current.json").write_text(f'{{"version": "{second}"}}')
    assert store.aliases() == {"champion": second}
    store.promote(first)
    assert store.aliases() == {"champion": first, "previous": second}


def test_a_candidate_needs_a_champion(store: ModelStore) -> None:
    with pytest.raises(BinposeError):
        store.nominate("0" * 12)
