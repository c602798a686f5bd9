"""An endless, reproducible sequence of simulated views, computed ahead by workers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.process_workers import as_workers
from binpose_core.base.workers import AHEAD, Workers
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.pile import Pile
from binpose_simulation.prepared_parts import OnPart, PreparedPart, as_prepared
from binpose_simulation.scene import SceneConfig, SimulatedView, ViewRenderer, render_view, simulate_pile
from binpose_simulation.view_sets import view_of_set

if TYPE_CHECKING:
    from typing_extensions import Self

PILES, VIEWS, SETS = 0, 1, 2  # independent families of random numbers for one seed


@dataclass
class ViewJob:
    """Renders the view of an index, which depends on (seed, index) alone.

    Consecutive views show the same settled pile, which is kept: ascending indices are fast.
    """

    parts: Mapping[str, PreparedPart]
    config: SceneConfig
    seed: int
    render: ViewRenderer = render_view
    _settled: tuple[int, Pile] | None = None

    def __call__(self, index: int) -> SimulatedView:
        """The view."""
        number, place = divmod(index, self.config.views_per_pile)
        pile = self._pile(number)
        if self.config.view_set is None:
            return self.render(pile, np.random.default_rng([self.seed, VIEWS, index]), self.config)
        rng = np.random.default_rng([self.seed, SETS, number])
        return view_of_set(pile, rng, self.config, self.config.view_set, place, self.render)

    def _pile(self, number: int) -> Pile:
        if self._settled is None or self._settled[0] != number:
            rng = np.random.default_rng([self.seed, PILES, number])
            self._settled = number, simulate_pile(rng, self.parts, self.config)
        return self._settled[1]


def views(
    parts: Mapping[str, PreparedPart],
    config: SceneConfig,
    seed: int,
    indices: Iterable[int],
    render: ViewRenderer = render_view,
) -> Iterator[SimulatedView]:
    """The views with these indices; each depends on (seed, index) alone.

    Consecutive views show the same settled pile, so ascending indices are fast.
    """
    return map(ViewJob(parts, config, seed, render), indices)


class SimulationStream(Iterator[SimulatedView]):
    """Views 0, 1, 2, ... of a seed, endless and in order, independent of the number of workers.

    Use it as a context manager or call `close`; abandoned workers end with this process. To resume, pass
    the `position` reached as `start`.

    Args:
        objects: the parts by id, all equally likely. Their convex pieces are prepared here, once.
        config: of the simulation.
        seed: of the sequence.
        workers: who simulates, or so many processes with one thread each; 0 simulates in this process; None = one
            process per CPU.
        start: index of the first view.
        prefetch: views that each worker may compute ahead.
        on_part: called before each part whose pieces are prepared.
        render: renders the views; it is pickled for the workers.

    Raises:
        BinposeError: for no objects, a negative seed or start. `next` raises the error that stopped the workers, on
            every call, or that the stream is closed. A worker that ends is replaced.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
        config: SceneConfig | None = None,
        seed: int = 0,
        workers: Workers | int | None = None,
        start: int = 0,
        prefetch: int = AHEAD,
        on_part: OnPart | None = None,
        render: ViewRenderer = render_view,
    ) -> None:
        if seed < 0:
            raise BinposeError(f"A simulation with the seed {seed}; expected 0 or a larger number; choose one.")
        if start < 0 or (isinstance(workers, int) and workers < 0) or prefetch < 1:
            raise BinposeError(
                f"SimulationStream with start={start}, workers={workers}, prefetch={prefetch}; expected "
                "none negative and a prefetch of at least 1."
            )
        self.config = config or SceneConfig()
        self.position = start
        parts = as_prepared(objects, self.config.content, on_part)
        job = ViewJob(parts, self.config, seed, render)
        self._end: BinposeError | None = None
        self._views = as_workers(workers).map(job, _piles(start, self.config.views_per_pile), prefetch)

    def __next__(self) -> SimulatedView:
        if self._end is not None:
            raise self._end
        try:
            view = next(self._views)
        except BinposeError as error:
            self._end = error
            raise
        self.position += 1
        return view

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_views"):
            self.close()

    def close(self) -> None:
        """End the workers."""
        closed = "This stream of simulated views is closed; expected an open one; create another one."
        self._end = self._end or BinposeError(closed)
        self._views.close()


def _piles(start: int, views_per_pile: int) -> Iterator[range]:
    """The indices from `start` on, those of a pile together, endless."""
    pile = start // views_per_pile
    while True:
        yield range(max(start, pile * views_per_pile), (pile + 1) * views_per_pile)
        pile += 1
