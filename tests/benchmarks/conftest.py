"""The scripts import each other as they do when they are run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def benchmarks(repository_root: Path) -> Iterator[None]:
    sys.path.insert(0, str(repository_root / "benchmarks"))
    yield
    sys.path.remove(str(repository_root / "benchmarks"))
