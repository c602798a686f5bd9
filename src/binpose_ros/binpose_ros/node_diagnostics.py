"""A node's diagnostics: published once a second while the process lives, with each problem logged once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from binpose_core.base.reasons import Reason
from binpose_ros.monitor import diagnostics_of
from binpose_ros.node_checks import ClockCheck, duplicate_node
from binpose_ros.problems import Problem, ProblemLog, by_importance

PERIOD_S = 1.0


class NodeDiagnostics:
    """Publishes /diagnostics.

    Args:
        node: a `ManagedNode`, with `parameters`.
        problems: give what is wrong with parts of the node.
        status: the DiagnosticStatus with all problems, the most important first.
        age_s: how old an image's stamp was when it arrived; None when no image arrived.
        logged: sentences that were logged when they arose.
    """

    def __init__(
        self,
        node: Any,
        problems: Sequence[Callable[[], list[Problem]]],
        status: Callable[[Sequence[Problem]], Any],
        age_s: Callable[[], float | None] = lambda: None,
        logged: Callable[[], set[str]] = set,
    ) -> None:
        self._node, self._problems, self._status, self._age_s, self._logged = node, problems, status, age_s, logged
        self._clock = ClockCheck(node)
        self._log = ProblemLog(lambda text: node.get_logger().warning(text))
        self.publisher = node.create_publisher(node.types.DiagnosticArray, "/diagnostics", 10)
        node.create_steady_timer(PERIOD_S, self.publish, MutuallyExclusiveCallbackGroup())

    def problems(self) -> list[Problem]:
        """All that is wrong now, the most important first."""
        node = self._node
        found = [Problem(Reason.TRANSITION_REFUSED, node.refusal)] if node.refusal else []
        if node.state != "active":
            found.append(Problem(Reason.NOT_ACTIVE, f"The node is {node.state}."))
        found += self.clock_problems()
        for problems in self._problems:
            found += problems()
        return by_importance([*found, *duplicate_node(node), *node.parameters.problems()])

    def clock_problems(self) -> list[Problem]:
        """What is wrong with the node's clock or the stamps of its images."""
        return self._clock.problems(self._age_s())

    def publish(self) -> None:
        """Log what is new, and publish."""
        if not self._node.context.ok():
            return
        problems, logged = self.problems(), {self._node.refusal, *self._logged()}
        self._log.update([p for p in problems if p.message not in logged and p.reason is not Reason.NOT_ACTIVE])
        status = self._status(problems)
        self.publisher.publish(diagnostics_of([status], self._clock.now_ns, self._node.types))


def stage_diagnostics(node: Any, values: Callable[[], Mapping[str, str]] = dict) -> NodeDiagnostics:
    """The diagnostics of a stage of perception, with `monitor`, `models` and `frames`.

    Args:
        node: the stage.
        values: further values that are shown.
    """
    monitor = node.monitor

    def status(problems: Sequence[Problem]) -> Any:
        name = node.get_fully_qualified_name().lstrip("/")
        shown = monitor.status(name, node.state, node.models.current, problems, node.types)
        shown.values = [*shown.values, *(node.types.KeyValue(key=key, value=value) for key, value in values().items())]
        return shown

    return NodeDiagnostics(
        node,
        [node.frames.problems],
        status,
        lambda: monitor.age_s,
        lambda: {monitor.outcome.message, monitor.model_reason},
    )
