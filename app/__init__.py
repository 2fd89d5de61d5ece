"""Compositions and the command line: the only place where rooms are wired to each other and to their adapters.

Read in this order: cli, embedded (the engine in one process), rooms and wiring (what joins them), serve, demo,
simulate, city.
"""
