"""Connections to Kafka: what every client is made with, and the topics, made or checked at the start."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from core.errors import BadFile, InvalidInput, Unavailable
from runtime.kafka.topics import Topic
from runtime.kafka_settings import KafkaSettings

_log = logging.getLogger("hexcab.kafka")


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What producers, consumers and the admin client share. Raises BadFile for a certificate that cannot be read."""
    options: dict[str, Any] = {
        "bootstrap_servers": [each.strip() for each in settings.brokers.split(",") if each.strip()],
        "client_id": "hexcab",
        "request_timeout_ms": int(settings.request_timeout_s * 1000),
        "retry_backoff_ms": int(settings.retry_backoff_s * 1000),
        "security_protocol": ("SASL_" if settings.sasl_user else "") + ("SSL" if settings.tls else "PLAINTEXT"),
    }
    if not settings.tls and options["security_protocol"] == "SASL_PLAINTEXT":
        _log.warning("Kafka's password travels without TLS")
    if settings.sasl_user:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_user
        options["sasl_plain_password"] = settings.sasl_password
    if settings.tls:
        options["ssl_context"] = _tls(settings)
    return options


async def prepare_topics(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Make the topics that are missing, and look at the others.

    Raises Unavailable when Kafka is away, and InvalidInput `bad_topic` when a topic has another number of partitions
    than the settings say or cannot be made as they say.
    """
    admin = AIOKafkaAdminClient(**connection_options(settings))
    try:
        await admin.start()
        for topic in topics:
            await _prepare(admin, topic)
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka cannot be asked for its topics: {error!r}", code="kafka_unavailable") from error
    finally:
        await admin.close()


async def _prepare(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    found = (await admin.describe_topics([topic.name]))[0]
    if for_code(found["error_code"]) is UnknownTopicOrPartitionError:
        await _make(admin, topic)
        return
    _raise(found["error_code"], topic, "")
    partitions = found["partitions"]
    if len(partitions) != topic.partitions:
        raise InvalidInput(
            f"the topic {topic.name} has {len(partitions)} partitions, the settings say {topic.partitions}: set the "
            "settings to what is there, or take another kafka.prefix",
            code="bad_topic",
        )
    fewest = min(len(each["replicas"]) for each in partitions)
    if fewest < topic.replication:
        _log.warning("the topic %s has %d replicas, the settings say %d", topic.name, fewest, topic.replication)


async def _make(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    new = NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.config)
    answer = await admin.create_topics([new])
    for _, code, message in answer.topic_errors:
        if for_code(code) is not TopicAlreadyExistsError:  # another process was quicker
            _raise(code, topic, message or "")
            _log.info("made the topic %s", topic.name)


def _raise(code: int, topic: Topic, message: str) -> None:
    kind = for_code(code)
    if kind is NoError:
        return
    if getattr(kind, "retriable", False):
        raise kind(message)
    raise InvalidInput(f"the topic {topic.name} cannot be used: {message or kind.__name__}", code="bad_topic")


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BadFile(f"the certificates of [kafka] cannot be used: {error}") from error
    return context
