"""Cassandra for an event loop: tables (what is there), cluster (connecting), session (asking).

The driver has threads of its own; nothing here blocks the loop.
"""

from runtime.cassandra.session import Cassandra, Write
from runtime.cassandra.tables import UNSET, Table

__all__ = ["UNSET", "Cassandra", "Table", "Write"]
