"""Real servers for tests: started once per test session by the code of `hexcab services`, stopped at its end.

How to use them. Mark the test (or the parameter) `slow` and ask for a fixture; all are sync, so async fixtures may take
them with `request.getfixturevalue` too:

    @pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
    async def store(request):
        if request.param == "redis":
            client = connect(request.getfixturevalue("redis_url"))

| fixture | scope | what it is |
|---|---|---|
| `redis_url` | module | redis://:PASSWORD@host:port/N, a database number that this module has alone, empty |
| `redis_cluster_url` | module | redis+cluster://:PASSWORD@host:port,... of 3 masters and 3 replicas, emptied |
| `postgresql_url` | module | postgresql+asyncpg://... of an empty database that is dropped afterwards |
| `mariadb_url` | module | mysql+asyncmy://... the same |
| `kafka_brokers` | session | host:port of a broker; topics have to be made, they do not appear by themselves |
| `topic_prefix` | module | begins the names of this module's topics, groups and transactional ids |
| `cassandra_address` | session | (host, port) of a ring of one node, data center `datacenter1` |
| `keyspace` | module | the name of a keyspace that is not there yet and is dropped afterwards |
| `servers` | session | `servers.running(name)` starts a service and gives it: `url`, `address`, `sites` |
| `new_servers` | function | `new_servers()` is a `Services` of this test alone, to kill and restart |

One more empty database: `with database(servers.running("postgresql"), __name__) as url` from tests.servers.isolated.

A server that this machine does not have skips the test with the reason; with CI=true it fails. HEXCAB_SERVICES_DIR
names a directory whose servers are used and left running, so that the next run need not start them:

    export HEXCAB_SERVICES_DIR=/tmp/hexcab-services; .venv/bin/hexcab services up --dir $HEXCAB_SERVICES_DIR
    .venv/bin/python -m pytest -m slow tests/contracts
    .venv/bin/hexcab services down --dir $HEXCAB_SERVICES_DIR

Never kill a server of these fixtures, as others use it: that is what `new_servers` is for.
"""

from __future__ import annotations

import pytest

# every SQL database that we speak to, as parameters of a fixture; `new_sql_url(kind)` gives an empty one
SQL_KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
]
