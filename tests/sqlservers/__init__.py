"""Real SQL servers for tests."""

from __future__ import annotations

import pytest

# every database that we speak to, as parameters of a fixture
SQL_KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
]
