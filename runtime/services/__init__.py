"""Real servers on this machine without Docker: on loopback, on free ports, each a process of its own.

For development and tests; a real cluster has its own operators. Read in this order: model (what a kind of server has to
say), state (what a directory remembers), processes, places, manager (up, down, status), then the kinds: redis,
redis_cluster, postgresql, mariadb, kafka, cassandra. jars has the Java servers' files, pins their versions.
"""
