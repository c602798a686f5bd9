"""When numba compiles a kernel: the first time that a machine and user need it, it takes seconds."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def on_compilation(report: Callable[[int, str], object]) -> Iterator[None]:
    """Call `report` with number and name of each kernel that is compiled in the block; none that the cache has.

    A function that another kernel calls is compiled with it and not counted.
    """
    from numba.core import event

    class Listener(event.Listener):
        """Counts the outermost compilations."""

        number, depth = 0, 0

        def on_start(self, event: Any) -> None:
            """Report a kernel."""
            if self.depth == 0:
                self.number += 1
                report(self.number, event.data["dispatcher"].py_func.__name__)
            self.depth += 1

        def on_end(self, event: Any) -> None:
            """Leave it."""
            self.depth -= 1

    with event.install_listener("numba:compile", Listener()):
        yield
