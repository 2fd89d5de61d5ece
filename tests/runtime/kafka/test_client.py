"""What the settings mean for a connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from core.errors import BadFile, Unavailable
from runtime.kafka.client import connection_options, prepare_topics
from runtime.kafka.topics import topics_of
from runtime.kafka_settings import KafkaSettings


def test_brokers_are_a_list() -> None:
    options = connection_options(KafkaSettings(brokers="a:1, b:2,", request_timeout_s=1.5))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["request_timeout_ms"] == 1_500
    assert options["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize(
    ("tls", "user", "protocol"),
    [(True, "", "SSL"), (True, "hexcab", "SASL_SSL"), (False, "hexcab", "SASL_PLAINTEXT")],
)
def test_tls_and_a_password_decide_the_protocol(tls: bool, user: str, protocol: str) -> None:
    options = connection_options(KafkaSettings(brokers="a:1", tls=tls, sasl_user=user, sasl_password="secret"))
    assert options["security_protocol"] == protocol
    assert options.get("sasl_plain_username") == (user or None)
    if tls:
        assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert options["ssl_context"].check_hostname


def test_a_password_without_tls_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    connection_options(KafkaSettings(brokers="a:1", sasl_user="hexcab", sasl_password="secret"))
    assert "without TLS" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("setting", ["ca_file", "cert_file"])
def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, setting: str) -> None:
    file = tmp_path / "bad.pem"
    with pytest.raises(BadFile, match="kafka"):
        connection_options(KafkaSettings(brokers="a:1", tls=True, **{setting: str(file)}))
    file.write_text("no certificate")
    with pytest.raises(BadFile, match="kafka"):
        connection_options(KafkaSettings(brokers="a:1", tls=True, **{setting: str(file)}))


async def test_topics_of_a_kafka_that_is_away_are_unavailable() -> None:
    nowhere = KafkaSettings(brokers="127.0.0.1:1", request_timeout_s=1.0)
    with pytest.raises(Unavailable, match="topics"):
        await prepare_topics(nowhere, topics_of(nowhere))
