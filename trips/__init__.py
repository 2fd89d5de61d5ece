"""Trips: from a driver's accept to the archive. One state machine, one desk, one history over live and archived trips.

Read in this order: model (the state machine), ports, service (the steps), billing (completed -> fare), archive
(SQL -> archive), history (both merged), views (what is shown to whom), adapters.
"""
