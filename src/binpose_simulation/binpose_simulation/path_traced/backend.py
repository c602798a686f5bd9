"""Mitsuba 3 with the fastest of its variants that this machine can run."""

import ctypes.util
import functools
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError

AUTO, FAST, PORTABLE = VARIANTS = ("auto", "llvm_ad_rgb", "scalar_rgb")
MODULES = ("mitsuba", "pyoidn")
OLDEST_LLVM = 14
LLVM_PATH = "DRJIT_LIBLLVM_PATH"
LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/llvm-*/lib",
)


def use_variant(name: str) -> None:
    """Choose Mitsuba's variant for what follows: one of `VARIANTS`.

    One thread computes, so that equal seeds give equal images.

    Raises:
        BinposeError: if Mitsuba is not installed.
    """
    mi, library = mitsuba(), os.environ.get(LLVM_PATH) or llvm_library()
    fast = name == FAST or (name == AUTO and bool(library))
    if fast and library:
        os.environ[LLVM_PATH] = library
    mi.set_variant(FAST if fast else PORTABLE)
    mi.set_log_level(mi.LogLevel.Error)
    if fast:
        _use_one_thread()


@functools.cache
def _use_one_thread() -> None:
    """Before the first computation: with more threads, sums depend on their order."""
    import drjit

    drjit.set_thread_count(1)


def mitsuba() -> Any:
    """The module `mitsuba`; `use_variant` first.

    Raises:
        BinposeError: if it is not installed.
    """
    check_installed()
    import mitsuba as mi

    return mi


@functools.cache
def check_installed() -> None:
    """Refuse to start where Mitsuba or the denoiser is missing, without loading them.

    Raises:
        BinposeError: with how to install them.
    """
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise BinposeError(
            f"The renderer `path_traced` needs {' and '.join(missing)}, which is not installed; expected the extra of "
            "that name; install it with: pip install 'binpose[path_traced]'."
        )


def llvm_library() -> str:
    """The path of the newest installed LLVM that Mitsuba can use, "" without one."""
    found: dict[int, str] = {}
    for folder in LIBRARY_FOLDERS:
        for path in sorted(Path("/").glob(f"{folder[1:]}/libLLVM*.so*")):
            version = re.search(r"libLLVM[-.](?:so\.)?(\d+)", path.name)
            if version and int(version[1]) >= OLDEST_LLVM:
                found.setdefault(int(version[1]), str(path))
    if found:
        return found[max(found)]
    return ctypes.util.find_library("LLVM") or ""


@functools.cache
def denoiser() -> Any:
    """The function `pyoidn.denoise`.

    Raises:
        BinposeError: if it is not installed.
    """
    check_installed()
    # one thread as in Mitsuba: workers share the processors; read when the library is loaded
    os.environ |= {"OIDN_NUM_THREADS": "1", "OIDN_SET_AFFINITY": "0"}
    from pyoidn import denoise

    return denoise
