import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.stream import SimulationStream


def assert_same(first, second):
    np.testing.assert_array_equal(first.frame.color, second.frame.color)
    np.testing.assert_array_equal(first.frame.depth_m, second.frame.depth_m)
    np.testing.assert_array_equal(first.instance_ids, second.instance_ids)
    assert first.object_ids == second.object_ids


@pytest.fixture(scope="module")
def expected(parts, small):
    return list(islice(SimulationStream(parts, small, seed=5, workers=0), 10))


def test_workers_keep_the_order(parts, small, expected):
    with SimulationStream(parts, small, seed=5, workers=2) as stream:
        for view in expected:
            assert_same(next(stream), view)


def test_a_ray_cluster_makes_the_same_views(parts, small, expected):
    pytest.importorskip("ray", reason="Ray is not installed: `pip install 'binpose[ray]'`")
    from binpose_core.base.ray_workers import ray_workers

    with ray_workers("local", 2) as workers, SimulationStream(parts, small, seed=5, workers=workers) as stream:
        for view in expected:
            assert_same(next(stream), view)


def test_a_stream_resumes_at_its_position(parts, small, expected):
    stream = SimulationStream(parts, small, seed=5, workers=0)
    for _ in range(6):
        next(stream)
    assert stream.position == 6
    resumed = SimulationStream(parts, small, seed=5, workers=0, start=stream.position)
    for view in expected[6:]:
        assert_same(next(resumed), view)
    with SimulationStream(parts, small, seed=5, workers=1, start=3) as resumed:
        assert_same(next(resumed), expected[3])


def test_seeds_differ(parts, small, expected):
    other = next(SimulationStream(parts, small, seed=6, workers=0))
    assert not np.array_equal(other.frame.color, expected[0].frame.color)


def test_a_worker_tells_what_stopped_it(parts, small):
    broken = replace(parts["block"], pieces=(Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)),))
    with SimulationStream({"block": broken}, small, workers=1) as stream, pytest.raises(BinposeError, match=r"\w+ \w+"):
        next(stream)


def test_a_killed_worker_is_replaced_and_each_view_comes_once(parts, small, expected):
    with SimulationStream(parts, small, seed=5, workers=2) as stream:
        for number, view in enumerate(expected):
            assert_same(next(stream), view)
            if number in (1, 5):
                os.kill(stream._views._crew.pids[number % 2], signal.SIGKILL)


def test_a_stream_that_ended_says_so_each_time(parts, small):
    broken = replace(parts["block"], pieces=(Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)),))
    with SimulationStream({"block": broken}, small, workers=1) as stream:
        for _ in range(2):
            with pytest.raises(BinposeError, match="A worker failed with"):
                next(stream)
    for workers in (0, 1):
        stream = SimulationStream(parts, small, workers=workers)
        stream.close()
        with pytest.raises(BinposeError, match="is closed"):
            next(stream)


def test_views_that_cannot_be_unpickled_end_the_stream(parts, small, monkeypatch):
    monkeypatch.setattr(
        "binpose_core.base.process_workers.pickle.loads", lambda _: (_ for _ in ()).throw(MemoryError("view"))
    )
    with (
        SimulationStream(parts, small, workers=1) as stream,
        pytest.raises(BinposeError, match=r"cannot be read \(MemoryError: view\)"),
    ):
        next(stream)


def test_the_parts_are_told_as_they_are_prepared(objects, small, monkeypatch):
    told = []
    monkeypatch.setattr("binpose_simulation.prepared_parts.convex_pieces", lambda mesh, _: [mesh])
    models = {model.id: model for model in objects}
    SimulationStream(models, small, workers=0, on_part=lambda *what: told.append(what))
    assert told == [(number, len(models), name) for number, name in enumerate(models, start=1)]


def test_workers_end_with_their_parent(parts, small, tmp_path):
    """The parent is killed without a chance to clean up."""
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((parts, small)))
    script = f"""
        import pickle, time
        from binpose_simulation.stream import SimulationStream
        parts, config = pickle.load(open({str(tmp_path / "job.pickle")!r}, "rb"))
        stream = SimulationStream(parts, config, workers=1, prefetch=1)
        next(stream)
        print(stream._views._crew.pids[0], flush=True)
        time.sleep(60)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, env=environment)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent by 10 s")


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_nonsense_is_refused(parts):
    with pytest.raises(BinposeError, match="start=-1"):
        SimulationStream(parts, start=-1)
