"""A few rounds of faults on real engines: everything that their clients were told stays true. `make chaos` has more."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest

from tests.simulation.cluster import Cluster
from tests.simulation.clustered import Clustered
from tests.simulation.embedded import Embedded
from tests.simulation.faults import DISTURB, KILL_CHILD, drawn
from tests.simulation.rounds import Plan, Run, run
from tests.simulation.servers import Stores

SEED = int(os.environ.get("HEXCAB_CHAOS_SEED", "1"))
PLAN = Plan(drivers=16, riders=20, before_s=4.0, after_s=4.0)
OF_ONE_PROCESS = (("kill", "engine"), ("stall down", "drivers"), (KILL_CHILD, "redis"), ("drain", "engine"))
OF_A_CLUSTER = (("kill", "dispatch1"), ("drain", "gateway1"), ("cut", "sql"), (DISTURB, "events again"))

pytestmark = pytest.mark.slow


async def judged(cluster: Cluster, wanted: tuple[tuple[str, str], ...], folder: Path) -> Run:
    """The run of these faults, one after the other."""
    rng = random.Random(SEED)
    faults = [drawn(kind, target, rng) for kind, target in wanted]
    chaos = Run(cluster, PLAN, SEED, folder)
    try:
        await cluster.start()
        await run(chaos, iter(faults), lambda so_far: len(so_far.rows) < len(faults), lambda _: None)
    finally:
        await cluster.stop()
    return chaos


def check(chaos: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """No truth was broken, under a load that says something."""
    rows = len(chaos.rows)
    with capsys.disabled():
        print(f"\nseed={SEED} faults={rows} operations={chaos.history.outcomes['invoke']}")
    assert chaos.violations == []
    assert chaos.history.outcomes["ok"] >= 10 * rows, "too little load to say anything"
    assert chaos.history.acked_pings >= 10 * rows, "too few rides to say anything"


async def test_the_truths_hold_over_faults_of_the_embedded_engine(
    tmp_path: Path, gothenburg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Embedded(tmp_path / "d", gothenburg_home)
    check(await judged(engine, OF_ONE_PROCESS, tmp_path / "histories"), capsys)


@pytest.fixture
def stores(
    postgresql_url: str,
    redis_url: str,
    kafka_brokers: str,
    topic_prefix: str,
    cassandra_address: tuple[str, int],
    keyspace: str,
) -> Stores:
    """Parts of the session's servers; as others use them too, faults hit the networks in front of them."""
    return Stores(postgresql_url, redis_url, kafka_brokers, cassandra_address, topic_prefix, keyspace)


async def test_the_truths_hold_over_faults_of_a_cluster_with_two_hosts_of_each_role(
    tmp_path: Path, stores: Stores, gothenburg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="hxc") as folder:  # which HAProxy's user can enter, unlike pytest's
        cluster = Clustered(Path(folder), stores, gothenburg_home)
        check(await judged(cluster, OF_A_CLUSTER, tmp_path / "histories"), capsys)
