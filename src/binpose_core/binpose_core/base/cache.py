"""Where derived data is kept for the user: convex pieces of meshes, compiled kernels."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

NUMBA_VARIABLE = "NUMBA_CACHE_DIR"


def cache_dir() -> Path:
    """$BINPOSE_CACHE, or binpose in the user's cache folder."""
    base = os.environ.get("BINPOSE_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "binpose"


def use_kernel_cache(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have numba keep compiled kernels in the user's cache, unless the environment names another place.

    numba's own choice is beside the sources, which an installed package may not write to, and which a new checkout
    does not have. Kernels of different installations lie in folders of their own. numba reads the variable when it is
    imported: call this before, for worker processes too, which inherit the variable.
    """
    if environment.get(NUMBA_VARIABLE):
        return
    environment[NUMBA_VARIABLE] = str(cache_dir() / "kernels")
    if environment is os.environ and (numba := sys.modules.get("numba")):
        numba.config.CACHE_DIR = environment[NUMBA_VARIABLE]
