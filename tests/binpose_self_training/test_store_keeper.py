"""Promotions and rollbacks count only when the running nodes take them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError, NoModel
from binpose_core.learning.model_store import ModelStore
from binpose_self_training.store_keeper import StoreKeeper


class OneNode:
    """A running node that follows the store, or states why not."""

    def __init__(self, problem: str = "") -> None:
        self.problem, self.waited = problem, [""]

    def using(self, store: Path) -> dict[str, str]:
        return {"/bin_picking": ""}

    def wait(self, store: Path, version: str, patience_s: float) -> str:
        self.waited.append(version)
        return self.problem


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A champion, and a candidate that the gate has promoted."""
    store = ModelStore(tmp_path / "store")
    store.save({"a": np.zeros(3)}, {})
    store.nominate(store.save({"a": np.ones(3)}, {}))
    store.record_verdict("candidate", {"decision": "promoted", "champion": store.current(), "reasons": []})
    return store


@pytest.fixture
def keeper(store: ModelStore) -> Callable[..., StoreKeeper]:
    return lambda node, patience_s=5.0: StoreKeeper(node, lambda: str(store.directory), lambda: patience_s)


def test_a_promotion_is_done_when_the_nodes_use_it(store: ModelStore, keeper: Callable[..., StoreKeeper]) -> None:
    before, candidate, node = store.current(), store.resolve("candidate"), OneNode()
    version, sentence = keeper(node).promote("", "")
    assert version == candidate == store.current() == node.waited[-1]
    assert sentence == f"Model {candidate[:12]} is in use in bin_picking."
    assert keeper(node).roll_back()[0] == before == store.current() == node.waited[-1]


def test_a_model_that_a_node_refuses_is_taken_back(store: ModelStore, keeper: Callable[..., StoreKeeper]) -> None:
    before = store.aliases()
    with pytest.raises(BinposeError, match=f"bin_picking refuses it. The store is back at {store.current()[:12]}"):
        keeper(OneNode("bin_picking refuses it.")).promote("", "")
    assert store.aliases()["champion"] == before["champion"] and store.aliases()["candidate"] == before["candidate"]


def test_without_patience_nobody_is_waited_for(store: ModelStore, keeper: Callable[..., StoreKeeper]) -> None:
    node = OneNode("It refuses.")
    keeper(node, 0.0).promote("", "")
    assert node.waited == [""] and store.current() != ""


def test_a_rollback_that_a_node_does_not_take_is_reported(
    store: ModelStore, keeper: Callable[..., StoreKeeper]
) -> None:
    keeper(OneNode()).promote("", "")
    with pytest.raises(BinposeError, match=r"The store is back at .*, but bin_picking is late"):
        keeper(OneNode("bin_picking is late.")).roll_back()


def test_only_the_store_of_the_node_is_changed(store: ModelStore, keeper: Callable[..., StoreKeeper]) -> None:
    with pytest.raises(BinposeError, match=r"names the store .*other; expected .*store, that of this node"):
        keeper(OneNode()).promote(str(store.directory.parent / "other"), "")
    with pytest.raises(NoModel, match="set the parameter `model`"):
        StoreKeeper(OneNode(), lambda: "", lambda: 1.0).folder()
