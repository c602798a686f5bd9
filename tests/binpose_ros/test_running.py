"""A process ends in time, also while compiled code computes."""

import subprocess
import sys
import textwrap
import time

import pytest

from binpose_ros.running import within


def test_an_action_has_its_time_and_no_more():
    assert within(None, lambda: time.sleep(0.05))
    assert within(5.0, lambda: None)
    began = time.monotonic()
    assert not within(0.05, lambda: time.sleep(1.0))
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_thread_is_cut_off_and_nothing_else(busy):
    """A pool's thread that computes would keep Python alive; without one, the end is that of Python."""
    script = f"""
        import atexit, time
        from concurrent.futures import ThreadPoolExecutor
        from binpose_ros.running import end_if_busy

        atexit.register(lambda: print("the end of Python", flush=True))
        pool = ThreadPoolExecutor(1)
        pool.submit(time.sleep, {60 if busy else 0})
        if not {busy}:
            pool.shutdown()
        print("written")
        end_if_busy()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "written" in done.stdout, "what was printed is not lost"
    assert ("the end of Python" in done.stdout) is not busy
