"""What the launch file uses of ROS' launch library, for machines without it: actions that keep what they are given.

It serves to read the launch file: which nodes it starts, with which names, parameters and topics. Processes are
started by the tests.
"""

import sys
from types import ModuleType
from typing import Any


class Record:
    """An object of the library that keeps its arguments as attributes."""

    def __init__(self, *values: Any, **named: Any) -> None:
        self.values = values
        self.__dict__.update(named)


class LaunchContext:
    """Values of the launch file's arguments."""

    def __init__(self) -> None:
        self.launch_configurations: dict[str, str] = {}


class LaunchConfiguration:
    """An argument's value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self._name]


class DeclareLaunchArgument(Record):
    """An argument with its default and its description."""

    def __init__(self, name: str, **named: Any) -> None:
        super().__init__(name=name, **named)


class LaunchDescription:
    """A list of actions."""

    def __init__(self, entities: list[Any]) -> None:
        self.entities = entities


class InvalidConditionExpressionError(Exception):
    """A switch that is neither true nor false."""


def evaluate_condition_expression(context: LaunchContext, expression: list[Any]) -> bool:
    """Whether a switch is on."""
    text = "".join(part.perform(context) for part in expression).strip().lower()
    if text not in {"true", "false", "1", "0"}:
        raise InvalidConditionExpressionError(f"expected true or false, got {text!r}")
    return text in {"true", "1"}


def install() -> None:
    """Put the stand-in where the launch file looks for the library."""
    contents: dict[str, dict[str, Any]] = {
        "launch": {"LaunchContext": LaunchContext, "LaunchDescription": LaunchDescription},
        "launch.actions": {
            "DeclareLaunchArgument": DeclareLaunchArgument,
            **dict.fromkeys(("EmitEvent", "OpaqueFunction", "SetEnvironmentVariable"), Record),
        },
        "launch.conditions": {
            "evaluate_condition_expression": evaluate_condition_expression,
            "InvalidConditionExpressionError": InvalidConditionExpressionError,
        },
        "launch.events": {"matches_action": Record},
        "launch.events.process": {"ProcessExited": Record, "ShutdownProcess": Record},
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration, "PathJoinSubstitution": Record},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Record},
        "launch_ros.substitutions": {"FindPackageShare": Record},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        module.__path__ = []
        module.__dict__.update(members)
        sys.modules[name] = module
