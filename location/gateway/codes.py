"""Why the gateway closes a connection: close codes of the contract."""

from __future__ import annotations

REPLACED = 4001
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
RESTART = 1012
TRY_LATER = 1013
PROTOCOL = 1002
UNSUPPORTED = 1003
