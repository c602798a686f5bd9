"""Intermediate features of a network by the names of its modules, as hint training compares them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from binpose_core.base.errors import BinposeError


@contextlib.contextmanager
def tapped(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Record what modules give in the forward passes inside the context; of several passes the last one.

    Example::

        with tapped(network, ["backbone.stages.1"]) as features:
            prediction = network(x, classes)
        hint = features["backbone.stages.1"]  # with its gradient

    Args:
        network: any module.
        names: of its modules, as `named_modules` gives them.

    Yields:
        The outputs by name, filled by each forward pass.

    Raises:
        BinposeError: for a name that is none of its modules'.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in names if name not in modules or not name]:
        raise BinposeError(
            f"The network has no module {', '.join(map(repr, unknown))}; expected names of its modules, like "
            f"{', '.join([name for name in modules if name][:6])}; list them with `named_modules`."
        )
    outputs: dict[str, Any] = {}

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs[name] = output

        return hook

    with contextlib.ExitStack() as stack:
        for name in names:
            stack.callback(modules[name].register_forward_hook(record(name)).remove)
        yield outputs


@dataclass
class ForwardPass:
    """inputs: arguments of a module's last forward pass, empty before the first one. output: what it gave."""

    inputs: tuple[Any, ...] = ()
    output: Any = None


@contextlib.contextmanager
def last_pass(network: nn.Module) -> Iterator[ForwardPass]:
    """Record what a module sees and gives in the last of the forward passes inside the context."""
    found = ForwardPass()

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        found.inputs, found.output = inputs, output

    handle = network.register_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()
