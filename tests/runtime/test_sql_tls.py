"""URLs of databases, and TLS to a real server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InvalidInput, Unavailable
from runtime.services.manager import Services
from runtime.sql import Database
from runtime.sqlengine import open_engines, parse_url
from runtime.sqlsettings import SqlSettings
from tests.servers.running import skip_or_fail


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg"),
        ("mariadb://u:p@h/d", "mariadb+asyncmy"),
        ("mysql+asyncmy://u:p@h/d", "mysql+asyncmy"),
        ("sqlite:///d.db", "sqlite+aiosqlite"),
    ],
)
def test_a_url_names_a_database_and_we_the_driver(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    "url", ["", "hexcab", "oracle://u:s3cret@h/d", "postgresql+psycopg://u:s3cret@h/d", "http://x"]
)
def test_other_urls_are_refused_and_no_password_is_told(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_url(url)
    assert "s3cret" not in refused.value.detail


def test_a_password_may_have_any_character() -> None:
    assert parse_url("postgresql://u:p%40ss%2Fw%3Ard@h/d").password == "p@ss/w:rd"


@pytest.mark.parametrize(
    "options", ["ssl=maybe", "ssl_ca=/ca.pem", "ssl=verify&ssl_ca=/none/ca.pem", "ssl=off&ssl_key=k"]
)
def test_tls_options_that_make_no_sense_are_refused(options: str) -> None:
    with pytest.raises(InvalidInput):
        open_engines(parse_url(f"postgresql://u:p@h/d?{options}"), SqlSettings())


@pytest.mark.slow
async def test_tls_encrypts_and_checks_the_server_where_it_is_told_to(
    new_servers: Callable[[], Services], tmp_path: Path
) -> None:
    services = new_servers()
    try:
        services.up(["postgresql"])
    except Unavailable as error:
        if error.code != "not_installed":
            raise
        skip_or_fail(error.detail)
    if shutil.which("openssl") is None:
        skip_or_fail("openssl is not installed")
    url = services.url("postgresql")
    plain = Database(f"{url}?ssl=require")
    with pytest.raises(Unavailable):  # the server has no TLS yet, and we do not go on without
        await plain.ping()
    await plain.close()
    services.down(["postgresql"])
    authority = with_tls(services.sites("postgresql")[0].folder / "data", tmp_path)
    services.up(["postgresql"])
    for options, encrypted in (("", False), ("?ssl=require", True), (f"?ssl=verify&ssl_ca={authority}", True)):
        database = Database(f"{url}{options}")
        async with database.reading() as connection:
            asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert (await connection.exec_driver_sql(asked)).scalar_one() is encrypted
        await database.close()
    stranger = Database(f"{url}?ssl=verify")
    with pytest.raises(Unavailable) as refused:
        await stranger.ping()
    assert "certificate" in refused.value.detail
    await stranger.close()


def with_tls(data: Path, folder: Path) -> Path:
    """Give a PostgreSQL server that is down a certificate of its own; the certificate."""
    certificate, key = folder / "server.crt", folder / "server.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hexcab test"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    for source in (certificate, key):
        file = data / source.name
        shutil.copyfile(source, file)
        file.chmod(0o600)
        shutil.chown(file, data.stat().st_uid, data.stat().st_gid)
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write("ssl = on\n")
    return certificate
