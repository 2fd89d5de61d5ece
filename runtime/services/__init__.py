"""Real servers on this machine without Docker: on loopback, on free ports, each a process of its own.

For development and tests; a real cluster has its own operators. Read in this order: model (what a kind of server has to
say), state (what a directory remembers), processes, places, starting, manager (up, down, status), settings_file; then
the kinds: redis, redis_cluster, postgresql, mariadb, kafka, cassandra, with jars (the Java servers' files) and cql. The
versions are in pins. haproxy is a proxy before hexcab's own hosts; deploy/haproxy.cfg shows its configuration.
"""
