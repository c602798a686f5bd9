"""A live graph for each test module, where rclpy can be imported.

`binpose_interfaces` is built into the ignored folder build/ where it is not installed.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's import mode leaves it out

from bench import bench, stage_class
from live_graph import MODEL, Graph, node_environment, use_loopback

__all__ = ["bench", "stage_class"]  # fixtures


def pytest_configure(config: pytest.Config) -> None:
    use_loopback()


@pytest.fixture(scope="session")
def ros_environment() -> dict[str, str]:
    """The environment of a node's process."""
    return node_environment()


@pytest.fixture(scope="module")
def graph(ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """A graph without nodes."""
    live = Graph(ros_environment, tmp_path_factory.mktemp("graph"))
    yield live
    live.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model store, and a second version of the same quality that is not in use."""
    from binpose_core.learning.model_store import ModelStore

    folder = tmp_path_factory.mktemp("models") / "store"
    shutil.copytree(MODEL, folder)
    models = ModelStore(folder)
    stored = models.load()
    tensors = dict(stored.tensors)
    name = next(name for name, value in tensors.items() if name.startswith("segmenter/") and value.dtype == np.float32)
    tensors[name] = tensors[name] * np.float32(1 + 1e-6)
    models.save(tensors, stored.header, parent=stored.version)
    return folder
