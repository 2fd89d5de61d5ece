"""What a connection reports to."""

from __future__ import annotations

from typing import Protocol

from location.messages import Command, Ping, Pings


class Hub[Connection](Protocol):
    """Hears of one connection's life and messages."""

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def ping(self, connection: Connection, ping: Ping) -> None: ...

    def said(self, connection: Connection, message: Pings | Command) -> None: ...

    def settled(self, connection: Connection) -> None:
        """Everything that has come was read, and no message is half."""
        ...

    def leaving(self, connection: Connection) -> None:
        """What comes from now on is for the library."""
        ...
