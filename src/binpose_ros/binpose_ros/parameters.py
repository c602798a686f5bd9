"""ROS parameters of a settings dataclass: declared once, checked by the dataclass, refused with its sentence."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from binpose_core.base.errors import BinposeError
from binpose_ros.overrides import shared_parameters, unknown_parameters
from binpose_ros.problems import Problem
from binpose_ros.settings import Spec, specs, with_values

Settings = TypeVar("Settings")


class Parameters(Generic[Settings]):
    """A node's settings as its parameters.

    Args:
        node: where they are declared.
        defaults: the values of parameters that are not given.
        is_fixed: whether parameters that are not live can no longer be set.

    on_change: called with the new settings before they count; what one raises refuses them.

    Raises:
        BinposeError: when a parameter was given a value that the settings refuse.
    """

    def __init__(
        self,
        node: Any,
        defaults: Settings,
        is_fixed: Callable[[], bool] | None = None,
    ) -> None:
        self._node, self._is_fixed = node, is_fixed or (lambda: node.state != "unconfigured")
        self.on_change: list[Callable[[Settings], None]] = []
        self._showing = threading.local()
        self._shared: set[str] | None = None
        self._specs = {spec.name: spec for spec in specs(defaults)}
        given = {spec.name: self._declare(spec) for spec in self._specs.values()}
        self.settings = with_values(defaults, {name: value for name, value in given.items() if value is not None})
        node.add_on_set_parameters_callback(self._set)

    def problems(self) -> list[Problem]:
        """The parameters that the node was given and does not have."""
        given = self._node._parameter_overrides  # rclpy has no other name for them
        unknown = [name for name in given if not self._node.has_parameter(name)]
        if unknown and self._shared is None:
            self._shared = shared_parameters()
        return unknown_parameters(unknown, self._specs, self._shared or ())

    def show(self, values: Mapping[str, Any]) -> None:
        """Show what is in use, such as a model's own settings, as the values of parameters.

        The settings, and what overrides a model, stay as they are.

        Args:
            values: by the parameters' names.
        """
        shown = {name: type(self._specs[name].default)(value) for name, value in values.items()}
        news = [Parameter(name, value=v) for name, v in shown.items() if self._node.get_parameter(name).value != v]
        self._showing.now = True
        try:
            self._node.set_parameters(news)
        finally:
            self._showing.now = False

    def _declare(self, spec: Spec) -> Any:
        """Declare a parameter; returns the value that it was given from outside, or None."""
        descriptor = ParameterDescriptor(description=spec.description)
        if spec.bounds is not None and isinstance(spec.default, float):
            low, high = spec.bounds
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif spec.bounds is not None:
            low, high = spec.bounds
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        if not spec.live:
            descriptor.additional_constraints = "Set it before the node is configured."
        default = [""] if spec.default == [] else spec.default  # An empty list has no type that rclpy could see.
        # Declared with a value, a parameter would not show whether it was given its default.
        kind = Parameter.Type.from_parameter_value(default)
        given = self._node.declare_parameter(spec.name, kind, descriptor).value
        if given is None:
            self._node.set_parameters([Parameter(spec.name, value=default)])
        return given

    def _set(self, parameters: Sequence[Any]) -> SetParametersResult:
        if getattr(self._showing, "now", False):
            return SetParametersResult(successful=True)
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in self._specs}
        if late := [name for name in changes if self._is_fixed() and not self._specs[name].live]:
            reason = f"{', '.join(late)} can be set only before the node is configured; clean it up first"
            if set(late) & {"model", "version"}:
                reason += ", or change the model with ~/load_model"
            return SetParametersResult(successful=False, reason=f"{reason}.")
        try:
            settings = with_values(self.settings, changes)
            for callback in self.on_change if changes else ():
                callback(settings)
        except (BinposeError, TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings = settings
        return SetParametersResult(successful=True)
