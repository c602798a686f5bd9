"""Kernels are kept for the user, unless the environment names another place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from binpose_core.base.cache import cache_dir, use_kernel_cache

KERNEL = """
import binpose_core
from numba import njit

@njit(cache=True)
def kernel(x):
    return x + 1

kernel(1)
"""


def test_the_users_cache_is_where_the_desktop_standard_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BINPOSE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache/binpose"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg/binpose"
    monkeypatch.setenv("BINPOSE_CACHE", str(tmp_path / "own"))
    environment: dict[str, str] = {}
    use_kernel_cache(environment)
    assert environment == {"NUMBA_CACHE_DIR": str(tmp_path / "own/kernels")}


def test_a_place_that_is_named_stays() -> None:
    environment = {"NUMBA_CACHE_DIR": "/somewhere"}
    use_kernel_cache(environment)
    assert environment == {"NUMBA_CACHE_DIR": "/somewhere"}


def kernels_after_a_run(script: Path, **variables: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    }
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **variables}
    subprocess.run([sys.executable, str(script)], env=environment, check=True)


def test_a_process_keeps_its_kernels_there_and_not_beside_the_code(tmp_path: Path) -> None:
    script, cache = tmp_path / "code" / "script.py", tmp_path / "cache"
    script.parent.mkdir()
    script.write_text(KERNEL)
    kernels_after_a_run(script, BINPOSE_CACHE=str(cache))
    assert list((cache / "kernels").rglob("*.nbi")) and list(script.parent.iterdir()) == [script]
    named = tmp_path / "named"
    kernels_after_a_run(script, BINPOSE_CACHE=str(tmp_path / "unused"), NUMBA_CACHE_DIR=str(named))
    assert list(named.rglob("*.nbi")) and not (tmp_path / "unused").exists()
