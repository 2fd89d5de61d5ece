"""Compositions and the command line: the only place where rooms are wired to each other and to their adapters.

Read in this order: cli, embedded (the engine in one process), desks (what joins rooms), serve, demo, simulate, city.
"""
