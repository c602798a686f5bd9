"""The model in use is built with the settings of now, whichever of the two changes, and whichever changes first."""

import threading
from pathlib import Path
from typing import Any

import pytest
from bench import Workbench

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def node(bench: Workbench, stage_class: Any, store: Path) -> Any:
    """A configured node; `first` and `second` are the versions in its store, the first one in use."""
    made = bench(stage_class, model=str(store))
    assert made.trigger_configure() == SUCCESS
    made.first = made.models.find("").version
    (made.second,) = set(ModelStore(store).versions()) - {made.first}
    return made


def set_tone(node: Any, tone: float) -> Any:
    return node.set_parameters([Parameter("tone", value=tone)])[0]


def test_new_settings_reach_the_model_in_use_and_the_one_before(node: Any) -> None:
    node.model_source.swap("", node.second)
    assert set_tone(node, 0.25).successful
    assert node.models.find("").stage == (node.second, 0.25)
    assert node.model_source.roll_back().stage == (node.first, 0.25)
    assert node.models.previous.version == node.second


def test_settings_that_change_while_a_new_model_waits_reach_it(node: Any, monkeypatch: Any) -> None:
    load = node.models.load

    def slow(*arguments: Any) -> Any:
        model = load(*arguments)
        assert set_tone(node, 0.25).successful
        return model

    monkeypatch.setattr(node.models, "load", slow)
    node.model_source.swap("", node.second)
    assert node.models.find("").stage == (node.second, 0.25)


def test_a_model_that_comes_while_settings_change_is_not_replaced_by_the_one_before(
    node: Any, monkeypatch: Any
) -> None:
    build, swap = node.build, threading.Thread(target=lambda: node.model_source.swap("", node.second))

    def slow(*arguments: Any) -> Any:
        if not swap.ident:
            swap.start()
            swap.join(1.0)  # It has to wait for the new settings.
        return build(*arguments)

    monkeypatch.setattr(node, "build", slow)
    assert set_tone(node, 0.25).successful
    swap.join(30)
    assert node.models.find("").stage[0] == node.second and node.models.previous.version == node.first


def test_settings_of_no_model_do_not_wait_for_one_that_is_loaded(node: Any) -> None:
    with node.models._loading:
        change = [Parameter("slop_s", value=0.1)]
        changing = threading.Thread(target=node.set_parameters, args=(change,), daemon=True)
        changing.start()
        changing.join(10)
        assert not changing.is_alive() and node.settings.slop_s == 0.1


def test_settings_that_do_not_fit_the_parts_are_refused_live_and_at_the_start(
    node: Any, bench: Workbench, stage_class: Any
) -> None:
    refused = set_tone(node, 0.75)
    assert not refused.successful and "do not bear" in refused.reason
    assert node.models.find("").stage[1] != 0.75
    other = bench(stage_class, tone=0.75)
    assert other.trigger_configure() == FAILURE and "do not bear" in other.refusal


def test_the_parts_to_be_reported_must_be_known_at_the_start(bench: Workbench, store: Path, monkeypatch: Any) -> None:
    from binpose.node import PipelineNode
    from binpose_refinement.node import RefinementNode

    for kind in (RefinementNode, PipelineNode):
        node = bench(kind, model=str(store), objects=["gearmotr"], watch_s=0.0)
        assert node.trigger_configure() == FAILURE
        assert "objects names gearmotr; expected some of" in node.refusal


def test_numbers_of_the_challenge_are_for_known_parts(bench: Workbench, store: Path) -> None:
    from binpose.node import PipelineNode

    node = bench(PipelineNode, model=str(store), watch_s=0.0)
    assert node.trigger_configure() == SUCCESS
    (result,) = node.set_parameters([Parameter("challenge.object_ids", value=["zzz=3"])])
    assert not result.successful and "names 'zzz'; expected one of" in result.reason
    known = next(iter(node.models.find("").objects))
    assert node.set_parameters([Parameter("challenge.object_ids", value=[f"{known}=33"])])[0].successful


def test_rolling_back_needs_an_earlier_model(node: Any) -> None:
    with pytest.raises(BinposeError, match="no earlier model"):
        node.model_source.roll_back()
