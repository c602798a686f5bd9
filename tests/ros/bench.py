"""Nodes in this process, to which nothing is sent: what they do when something fails can be made and seen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from live_graph import MODEL, next_domain


class Workbench:
    """Makes nodes and remembers what they log."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.made: list[Any] = []

    def __call__(self, kind: type, **parameters: Any) -> Any:
        from rclpy.parameter import Parameter

        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = kind(context=self._context, parameter_overrides=overrides)
        self.made.append(node)
        node.logged = []
        logger = node.get_logger()
        node.get_logger = lambda: SimpleNamespace(
            info=logger.info, debug=logger.debug, warning=logger.warning, error=node.logged.append
        )
        return node


@pytest.fixture
def bench(ros_environment: dict[str, str]) -> Iterator[Workbench]:
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    workbench = Workbench(context)
    yield workbench
    for node in workbench.made:
        node.close()
        node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def stage_class(ros_environment: dict[str, str]) -> Any:
    """A stage of the demo's store without networks: the version and the tone that it was built with."""
    from binpose_core.base.errors import BinposeError
    from binpose_core.base.settings import setting
    from binpose_ros.frame_worker import FrameWorker
    from binpose_ros.inputs import COLOR
    from binpose_ros.lifecycle import ManagedNode
    from binpose_ros.model_holder import ModelHolder
    from binpose_ros.model_leader import ModelLeader
    from binpose_ros.monitor import Monitor
    from binpose_ros.node_diagnostics import stage_diagnostics
    from binpose_ros.outcome import Outcome
    from binpose_ros.parameters import Parameters
    from binpose_ros.results import Results
    from binpose_ros.settings import StageSettings
    from binpose_ros.stage_model import StageModel

    @dataclass(frozen=True)
    class Settings(StageSettings):
        """tone: what the stage is built with."""

        tone: float = setting(0.5, live=True)

    class OneStage(ManagedNode):
        inputs = (replace(COLOR, role="reference"),)

        def __init__(self, **options: Any) -> None:
            super().__init__("one_stage", **options)
            self.monitor = Monitor()
            self.parameters = Parameters(self, Settings(model=str(MODEL), watch_s=0.0))
            stage_model = StageModel(
                lambda *arguments: self.build(*arguments),
                lambda stage, objects, frame: None,
                check=self.check,
                must_rebuild=lambda before, after: before.tone != after.tone,
            )
            self.models = ModelHolder(self, stage_model)
            self.model_source = ModelLeader(self, self.models)
            self.results = Results(self, lambda: self.open_outputs())
            self.frames = FrameWorker(self, self.inputs, self.models, self.results, self.process, lambda *_: None)
            self.diagnostics = stage_diagnostics(self)
            self.parts = (self.model_source, self.results, self.frames)

        def build(self, stored: Any, objects: Any, settings: Any) -> Any:
            return stored.version, settings.tone

        def check(self, settings: Any, objects: Any) -> None:
            if settings.tone == 0.75:
                raise BinposeError("These parts do not bear 0.75.")

        def open_outputs(self) -> None:
            self.out = self.output("Detection2DArray", "~/out")

        def process(self, match: Any) -> Outcome:
            return Outcome()

    return OneStage
