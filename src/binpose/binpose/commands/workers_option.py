"""The options `--workers` and `--ray`: who does the work that many can share."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from binpose_core.base.workers import Workers


@contextlib.contextmanager
def opened_workers(ray: str | None, count: int) -> "Iterator[Workers]":
    """Workers for the block: processes of this machine, or those of a Ray cluster.

    Args:
        ray: address of the cluster, see `ray_workers`; None = processes.
        count: number of workers; 0 = one per CPU.

    Raises:
        BinposeError: for a negative number, or a cluster that cannot be used.
    """
    if count < 0:
        raise BinposeError(f"--workers is {count}; expected 0 (one per CPU) or more.")
    if ray is None:
        from binpose_core.base.process_workers import as_workers

        yield as_workers(count or None)
        return
    from binpose_core.base.ray_workers import ray_workers

    with ray_workers(ray, count) as workers:
        yield workers
