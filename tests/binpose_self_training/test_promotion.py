"""Only what the gate promotes over the model in use is put in use, and there is a way back."""

from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore
from binpose_self_training.promotion import StoreStatus, promote_proven, take_back


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A champion, and a candidate that is its child."""
    store = ModelStore(tmp_path / "store")
    first = store.save({"a": np.zeros(3)}, {})
    store.nominate(store.save({"a": np.ones(3)}, {}, parent=first))
    return store


def decide(store: ModelStore, decision: str, champion: str | None = None) -> str:
    candidate = store.resolve("candidate")
    verdict = {"decision": decision, "champion": champion or store.current(), "reasons": ["It finds more."]}
    store.record_verdict(candidate, verdict)
    return candidate


def test_a_proven_candidate_is_put_in_use(store: ModelStore) -> None:
    before, candidate = store.current(), decide(store, "promoted")
    assert promote_proven(store.directory) == candidate
    assert store.aliases() == {"champion": candidate, "previous": before}
    assert promote_proven(store.directory, candidate[:8]) == candidate, "again: nothing changes"


@pytest.mark.parametrize("decision", ["refused", "undecided"])
def test_a_candidate_that_is_not_proven_is_refused_with_the_reason(store: ModelStore, decision: str) -> None:
    before = store.aliases()
    with pytest.raises(BinposeError, match="no verdict about it"):
        promote_proven(store.directory)
    decide(store, "promoted")
    decide(store, decision)
    with pytest.raises(BinposeError, match=f"{decision} against .*It finds more.*binpose models .* --promote"):
        promote_proven(store.directory)
    assert store.aliases() == before


def test_a_proof_against_another_model_than_the_one_in_use_does_not_count(store: ModelStore) -> None:
    decide(store, "promoted")
    other = store.save({"a": np.full(3, 2.0)}, {})
    store.promote(other)
    with pytest.raises(BinposeError, match="has not promoted"):
        promote_proven(store.directory)
    assert store.current() == other


def test_a_promotion_that_is_taken_back_leaves_the_candidate_a_candidate(store: ModelStore) -> None:
    before, candidate = store.current(), decide(store, "promoted")
    promote_proven(store.directory)
    assert take_back(store.directory, candidate) == before
    assert store.current() == before and store.aliases()["candidate"] == candidate
    with pytest.raises(BinposeError, match="no longer in use"):
        take_back(store.directory, candidate)


def test_the_status_names_versions_and_the_last_verdict(store: ModelStore) -> None:
    status = StoreStatus.of(store.directory)
    assert status.champion == store.current() and "no verdict" in status.sentence
    candidate = decide(store, "promoted")
    status = StoreStatus.of(store.directory)
    assert status.candidate == candidate and "promoted. It finds more." in status.sentence
    promote_proven(store.directory)
    status = StoreStatus.of(store.directory)
    assert (status.champion, status.candidate) == (candidate, "") and status.parent == status.previous
    fields = status.message(store.directory)
    assert fields["version"] == candidate and Path(fields["location"]).is_file()
    assert fields["metrics"]["verdict"]["decision"] == "promoted"
