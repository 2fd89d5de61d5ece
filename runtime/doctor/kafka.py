"""Kafka: whether brokers answer, and whether the topics are what the settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code

from runtime.doctor.findings import Finding, Status, graded
from runtime.kafka.client import connection_options
from runtime.kafka.topics import Topic, topics_of
from runtime.kafka_settings import KafkaSettings

Wrong = list[tuple[Status, str, str]]


async def look_at_kafka(settings: KafkaSettings) -> Sequence[Finding]:
    """A line of the brokers and one of each topic. May raise whatever the library does."""
    admin = AIOKafkaAdminClient(**connection_options(settings))
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        lines = _brokers(brokers, settings)
        for topic in topics_of(settings):
            found = (await admin.describe_topics([topic.name]))[0]
            error = for_code(found["error_code"])
            if error is UnknownTopicOrPartitionError:
                lines.append(Finding(f"kafka {topic.name}", "warn", "it is not there yet", "a start makes it"))
            elif error is not NoError:
                lines.append(Finding(f"kafka {topic.name}", "fail", error.__name__, "look at the brokers' logs"))
            else:
                lines += _topic(topic, found["partitions"], await _config(admin, topic.name))
        return lines
    finally:
        await admin.close()


async def _config(admin: AIOKafkaAdminClient, name: str) -> Mapping[str, str]:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}


def _brokers(count: int, settings: KafkaSettings) -> list[Finding]:
    wrong: Wrong = []
    if count < settings.replication:
        detail = f"{count} brokers answer, and kafka.replication is {settings.replication}"
        wrong.append(("fail", detail, "start the others"))
    if settings.min_insync >= settings.replication > 1:
        detail = f"kafka.min_insync = {settings.min_insync} of {settings.replication} replicas: losing one stops events"
        wrong.append(("warn", detail, "set kafka.min_insync to one less than kafka.replication"))
    if settings.replication == 1:
        detail = "kafka.replication = 1: events wait in SQL while a broker is away, and those it had are lost with it"
        wrong.append(("warn", detail, "three brokers, kafka.replication = 3 and kafka.min_insync = 2"))
    return graded("kafka", wrong, f"{count} brokers")


def _topic(topic: Topic, partitions: Sequence[Mapping[str, Any]], config: Mapping[str, str]) -> list[Finding]:
    wrong: Wrong = []
    if len(partitions) != topic.partitions:
        detail = f"it has {len(partitions)} partitions, the settings say {topic.partitions}"
        wrong.append(("fail", detail, "set the settings to what is there, or take another kafka.prefix"))
    headless = sum(each["leader"] < 0 for each in partitions)
    behind = sum(len(each["isr"]) < len(each["replicas"]) for each in partitions)
    if headless:
        wrong.append(("fail", f"{headless} partitions have no leader", "start the brokers that are away"))
    if behind:
        wrong.append(("warn", f"{behind} partitions lack a replica that is in step", "start the brokers that are away"))
    fewest = min((len(each["replicas"]) for each in partitions), default=0)
    if fewest < topic.replication:
        detail = f"it has {fewest} replicas, the settings say {topic.replication}"
        wrong.append(("warn", detail, "add replicas with kafka-reassign-partitions.sh"))
    for name, wanted in topic.config.items():
        if config.get(name, wanted) != wanted:
            detail = f"{name} = {config[name]}, the settings say {wanted}"
            wrong.append(("warn", detail, "change it with kafka-configs.sh, or change the settings"))
    return graded(f"kafka {topic.name}", wrong, f"{len(partitions)} partitions, {fewest} replicas")
