"""What all tests share."""

import importlib.util
import os
from pathlib import Path

# Read when OpenMP is loaded, hence before any test imports torch: spinning threads make parallel tests slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded data sets beside the checkout; the test is skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}")
    return folder


@pytest.fixture(scope="session")
def torchvision() -> None:
    """torchvision can be imported, in need with operators in plain torch; the test is skipped where it is missing."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: `pip install torchvision`, in the build for the installed torch")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:  # its compiled operators are for another torch
        spec = importlib.util.spec_from_file_location("torchvision_operators", ROOT / "tests/torchvision_operators.py")
        assert spec is not None and spec.loader is not None
        operators = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(operators)
        operators.install()
