"""The client of the live tests itself."""

import threading
from typing import Any

import pytest


def test_the_client_destroys_between_callbacks(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """rclpy's executor ends when another thread destroys what it is about to wait for."""
    from std_msgs.msg import Empty

    destroying = []
    for name in ("destroy_subscription", "destroy_client"):
        destroy = getattr(graph.node, name)

        def noted(entity: Any, destroy: Any = destroy) -> Any:
            destroying.append(threading.current_thread())
            return destroy(entity)

        monkeypatch.setattr(graph.node, name, noted)
    graph.listen("/stream", Empty)
    graph.forget("/stream")
    graph.set_parameters("client", use_sim_time=False)
    assert destroying == [graph._spinner] * 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_executor_is_reported_at_once(graph: Any) -> None:
    def fail() -> None:
        raise RuntimeError("of a callback")

    graph._executor.create_task(fail)
    with pytest.raises(AssertionError, match="executor of this process ended while waiting for a message"):
        graph.wait(lambda: False, "a message", patience_s=20.0)
