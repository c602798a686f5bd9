"""Jobs on a Ray cluster of this machine: the results of one process, also when workers and machines are lost."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.ray_workers import RayWorkers, machine_facts, own_packages, ray_workers
from binpose_core.base.workers import ThisProcess

ray: Any = pytest.importorskip("ray", reason="Ray is not installed: `pip install 'binpose[ray]'`")
GROUPS = [range(n, n + 3) for n in range(0, 30, 3)]


@pytest.fixture(scope="module")
def workers() -> Iterator[RayWorkers]:
    with ray_workers("local", 2) as workers:
        yield workers


def pid_and_item(item: int) -> tuple[int, int]:
    return os.getpid(), item


pid_and_item.__module__ = "__main__"  # sent as it is: workers cannot import tests


def test_the_results_are_those_of_one_process(workers: RayWorkers) -> None:
    job = partial(pow, 3)
    assert list(workers.map(job, GROUPS)) == list(ThisProcess().map(job, GROUPS))


def test_a_killed_worker_is_replaced_and_each_result_comes_once(workers: RayWorkers) -> None:
    results = workers.map(pid_and_item, GROUPS)
    first = [next(results) for _ in range(4)]
    os.kill(first[0][0], signal.SIGKILL)
    rest = list(results)
    assert [item for _, item in [*first, *rest]] == list(range(30))
    assert os.getpid() not in {pid for pid, _ in rest} and rest[-1][0] != first[0][0]


def test_two_jobs_share_the_workers(workers: RayWorkers) -> None:
    one, other = workers.map(partial(pow, 2), GROUPS), workers.map(partial(pow, 3), GROUPS)
    for n in range(30):
        assert (next(one), next(other)) == (2**n, 3**n)


def test_a_large_value_travels_by_reference(workers: RayWorkers) -> None:
    frame = np.arange(500_000)
    reference = workers.reference(lambda: frame)
    assert len(ray.cloudpickle.dumps(reference)) < 2000 < frame.nbytes
    np.testing.assert_array_equal(reference(), frame)


def test_an_error_on_a_worker_is_one_sentence(workers: RayWorkers) -> None:
    results = workers.map(partial(divmod, 1), [[0]])
    with pytest.raises(BinposeError, match="A worker failed with ZeroDivisionError"):
        next(results)


def test_another_binpose_on_a_machine_is_refused(workers: RayWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.close()
    facts = machine_facts(own_packages())
    monkeypatch.setattr(
        "binpose_core.base.ray_workers.machine_facts", lambda names: {**facts, "binpose_core": "0123456789ab"}
    )
    with pytest.raises(BinposeError, match=r"binpose_core \w+ instead of 0123456789ab; .*install the same binpose"):
        next(workers.map(partial(pow, 2), [[1]]))
    workers.close()


def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    if ray.is_initialized():
        ray.shutdown()
    with (
        pytest.raises(BinposeError, match=r"No Ray cluster answers at '127.0.0.1:1' .*ray start"),
        ray_workers("127.0.0.1:1"),
    ):
        pass


def test_a_machine_that_is_lost_is_done_without(tmp_path: Path) -> None:
    """Two machines, each a raylet with an object store of its own; one is killed while it works."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    if ray.is_initialized():
        ray.shutdown()
    cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = cluster.add_node(num_cpus=1)
    spare = cluster.add_node(num_cpus=1)
    try:
        with ray_workers(cluster.address, 2) as workers:
            values = [np.full(50_000, n) for n in range(30)]
            reads = [[workers.reference(lambda n=n: values[n])] for n in range(30)]
            results = workers.map(node_and_sum, reads)
            first = [next(results) for _ in range(6)]
            nodes = {node for node, _ in first}
            assert len(nodes) == 2
            dying = lost if lost.node_id in nodes else spare
            cluster.remove_node(dying, allow_graceful=False)
            rest = list(results)
            assert [total for _, total in [*first, *rest]] == [50_000 * n for n in range(30)]
            assert rest[-1][0] != dying.node_id and {node for node, _ in rest[8:]} <= {
                node["NodeID"] for node in ray.nodes()
            }
    finally:
        cluster.shutdown()


def node_and_sum(read: Any) -> tuple[str, int]:
    import ray

    return ray.get_runtime_context().get_node_id(), int(read().sum())


node_and_sum.__module__ = "__main__"
