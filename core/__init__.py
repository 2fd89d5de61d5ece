"""The words every room shares, and no I/O: errors, places, money, ids, time, events, the bus.

Read in this order: errors, geo, money, clock, ids, events, bus.
"""
