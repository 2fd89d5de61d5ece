"""Topics come from the settings; the partition of a region is for good."""

from __future__ import annotations

from collections import Counter

import h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maps import segments
from runtime.kafka.topics import partition_of, topics_of
from runtime.kafka_settings import KafkaSettings


@pytest.mark.parametrize(("region", "partition"), [("851f25a7fffffff", 28), ("851f25abfffffff", 30), ("", 0)])
def test_the_partition_of_a_region_never_changes(region: str, partition: int) -> None:
    assert partition_of(region, 32) == partition


@given(st.text(), st.integers(1, 1_000))
def test_a_partition_is_one_of_them(name: str, partitions: int) -> None:
    assert 0 <= partition_of(name, partitions) < partitions


def test_the_regions_of_a_country_are_spread_over_all_partitions() -> None:
    regions = h3.grid_disk(h3.latlng_to_cell(57.7, 11.97, segments.REGION_RESOLUTION), 20)
    counts = Counter(partition_of(region, 32) for region in regions)
    assert len(counts) == 32
    assert max(counts.values()) <= 1.5 * len(regions) / 32


def test_the_settings_decide_how_topics_are_made() -> None:
    settings = KafkaSettings(prefix="north.", partitions=64, replication=3, min_insync=2, dead_keep_s=60.0)
    topics = topics_of(settings)
    assert [topic.name for topic in topics] == ["north.rides", "north.dead", "north.locations"]
    assert topics.rides.partitions == 64
    assert {(topic.replication, topic.config["min.insync.replicas"]) for topic in topics} == {(3, "2")}
    assert topics.dead.config["retention.ms"] == "60000"
