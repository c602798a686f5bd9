"""Parameters are described, have the ranges that the settings check, and are refused in one sentence."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from bench import Workbench
from live_graph import MODEL, MODULES, next_domain

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore
from binpose_ros.settings import Spec, specs, with_values

SUCCESS = TransitionCallbackReturn.SUCCESS

BAD = {
    "refiner.method:=magic": "'magic'",
    "device:=gpu": "device is 'gpu'",
    "threshold:=2.0": "threshold",
    "threshold:=high": "threshold",
    "region:=everywhere": "'everywhere'",
}


@pytest.mark.parametrize("assignment", BAD)
def test_a_bad_parameter_ends_the_node_with_one_sentence(ros_environment: dict[str, str], assignment: str) -> None:
    environment = dict(ros_environment, ROS_DOMAIN_ID=str(next_domain()))
    command = [sys.executable, "-m", MODULES["bin_picking"], "--ros-args", "-p", assignment]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert len(lines) == 1 and "The node is not started: " in lines[0] and BAD[assignment] in lines[0]


def every_settings() -> list[Any]:
    """What each node is told by default."""
    from binpose.node import PipelineSettings
    from binpose_detection.node import DetectionSettings
    from binpose_grasping.node import GraspSettings
    from binpose_refinement.node import RefinementSettings
    from binpose_ros.settings import StageSettings
    from binpose_self_training.node_settings import SelfTrainingSettings
    from binpose_simulation.node import CameraSettings

    kinds = (StageSettings, DetectionSettings, RefinementSettings, PipelineSettings, GraspSettings)
    return [kind() for kind in (*kinds, CameraSettings, SelfTrainingSettings)]


def headlines(settings: Any) -> Iterator[str]:
    """What the docstrings of settings, their bases and those inside say of the classes themselves."""
    for kind in (base for base in type(settings).__mro__ if is_dataclass(base)):
        yield inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
    for value in (getattr(settings, entry.name) for entry in fields(settings)):
        if is_dataclass(value):
            yield from headlines(value)


def test_every_parameter_is_described_by_itself(ros_environment: dict[str, str]) -> None:
    """Each alone, because `ros2 param describe` shows one alone."""
    for settings in every_settings():
        found = {spec.name: spec.description for spec in specs(settings)}
        foreign = {name for name, text in found.items() if any(line in text for line in headlines(settings))}
        pointing = {name for name, text in found.items() if re.search(r"^the same|see there|as above", text)}
        cut = {name for name, text in found.items() if len(text) < 15 or not text.endswith(".")}
        shared = {name for name, text in found.items() if list(found.values()).count(text) > 1}
        assert not foreign | pointing | cut | shared, type(settings).__name__


def test_every_number_has_a_range_that_is_kept(ros_environment: dict[str, str]) -> None:
    for settings in every_settings():
        numbers = [spec for spec in specs(settings) if type(spec.default) in (int, float)]
        assert numbers and not [spec.name for spec in numbers if spec.bounds is None]
        for spec in numbers:
            for wrong in out_of_range(spec):
                with pytest.raises(BinposeError, match=rf"{wrong}.* expected"):
                    with_values(settings, {spec.name: wrong})


def out_of_range(spec: Spec) -> tuple[float, ...]:
    assert spec.bounds is not None
    low, high = spec.bounds
    return (low - 1, high + 1) if isinstance(spec.default, int) else (low - 1, high + 1, float("nan"))


def set_parameter(node: Any, name: str, value: Any) -> Any:
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_ranges_are_told_by_the_parameters(bench: Workbench) -> None:
    from binpose_refinement.node import RefinementNode

    node = bench(RefinementNode, model=str(MODEL), watch_s=0.0)
    whole = node.describe_parameter("refiner.keep_best").integer_range[0]
    real = node.describe_parameter("refiner.gate_start").floating_point_range[0]
    assert (whole.from_value, whole.to_value, real.from_value, real.to_value) == (1, 1000, 0.001, 1.0)
    assert not set_parameter(node, "refiner.keep_best", 0).successful
    assert set_parameter(node, "refiner.keep_best", 2).successful
    assert node.settings.refiner.named == {"keep_best": 2}


@pytest.fixture
def own_settings(tmp_path: Path) -> str:
    """The store of a model with settings of the refiner that are not the defaults."""
    stored = ModelStore(MODEL).load()
    refiner = {"method": "render_and_compare", "keep_best": 3, "polish_rounds": 2}
    header = {**stored.header, "config": {**stored.header["config"], "refiner": refiner}}
    ModelStore(tmp_path).save(stored.tensors, header)
    return str(tmp_path)


def shown(node: Any) -> tuple[Any, ...]:
    """What the node's parameters tell of the refiner."""
    return tuple(node.get_parameter(f"refiner.{name}").value for name in ("method", "keep_best", "polish_rounds"))


def test_only_what_was_set_replaces_a_models_settings(bench: Workbench, own_settings: str) -> None:
    """Also where it was set to what is the default."""
    from binpose_refinement.config import RefinerConfig
    from binpose_refinement.node import RefinementNode

    default = RefinerConfig().keep_best
    named = {"refiner.keep_best": default}
    node = bench(RefinementNode, model=own_settings, watch_s=0.0, **named)
    assert node.trigger_configure() == SUCCESS
    config = node.models.find("").stage.config
    in_use = (config.method, config.keep_best, config.polish_rounds)
    assert in_use == shown(node) == ("render_and_compare", default, 2)
    assert node.settings.refiner.named == {"keep_best": default}, "what is shown overrides nothing"
    assert set_parameter(node, "refiner.method", "icp").successful
    config = node.models.find("").stage.config
    assert (config.method, config.keep_best, config.polish_rounds) == shown(node) == ("icp", default, 2)


def test_parameters_show_the_settings_of_the_model_in_use(bench: Workbench, own_settings: str) -> None:
    from binpose.node import PipelineNode

    node = bench(PipelineNode, model=own_settings, watch_s=0.0)
    assert node.trigger_configure() == SUCCESS
    assert shown(node) == ("render_and_compare", 3, 2)
    config = node.model_source.swap(str(MODEL), "").stage.refiner.config
    assert shown(node) == (config.method, config.keep_best, config.polish_rounds) != ("render_and_compare", 3, 2)
