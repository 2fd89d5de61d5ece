"""Kernels compile wherever the package lies."""

from __future__ import annotations

from typing import Any

from maps.kernels import compiled


def test_a_kernel_that_has_no_place_for_its_cache_is_compiled_all_the_same() -> None:
    scope: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", scope)  # a function of no file, so numba finds no place beside it
    assert compiled(scope["double"])(21) == 42
