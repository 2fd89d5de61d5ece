"""Compiled loops: numba with a cache on disk wherever there is a writable place for it.

A kernel may call other kernels of its own file only: numba notices a change of the file that holds a cached kernel, not
of the files that kernel calls into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use and release the GIL while running.

    The machine code is kept in `__pycache__` beside the source, else in the user's cache directory (NUMBA_CACHE_DIR
    overrides both), else nowhere: then each process compiles for itself.
    """
    try:
        kernel: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no directory it may write to
        kernel = njit(nogil=True)(function)
    return kernel
