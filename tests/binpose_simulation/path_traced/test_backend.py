import importlib.util

import pytest

from binpose_core.base.errors import BinposeError
from binpose_simulation.path_traced import backend


def test_what_is_missing_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    backend.check_installed.cache_clear()
    try:
        with pytest.raises(BinposeError, match=r"needs mitsuba and pyoidn.*pip install 'binpose\[path_traced\]'"):
            backend.check_installed()
    finally:
        backend.check_installed.cache_clear()


def test_the_newest_llvm_is_taken_and_none_that_is_too_old(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "LIBRARY_FOLDERS", (f"{tmp_path}/lib*",))
    monkeypatch.setattr(backend.ctypes.util, "find_library", lambda name: None)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libLLVM-13.so.1").touch()
    assert backend.llvm_library() == ""
    for name in ("libLLVM-15.so.1", "libLLVM.so.19.1", "libLLVM-9.so"):
        (tmp_path / "lib" / name).touch()
    assert backend.llvm_library() == str(tmp_path / "lib" / "libLLVM.so.19.1")
