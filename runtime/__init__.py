"""Machinery under the rooms: settings, clocks, SQL with its outbox, the bus, Redis, tokens, telemetry, data directory.

Read in this order: settings, clocks, tasks, sql, outbox, bus, idempotency, auth, valkey, datadir, telemetry.
The package services stands for itself.
"""
