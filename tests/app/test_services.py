"""The command `hexcab services`."""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from core.errors import Conflict
from runtime.services.kinds import NAMES
from runtime.services.manager import Services
from runtime.services.model import Entry, Node
from runtime.services.settings_file import settings_text, write_settings
from runtime.services.state import State
from runtime.settings import Settings, load_settings
from tests.servers.running import skip_or_fail


def set_up(folder: Path, *names: str) -> Services:
    """A directory that remembers services which do not run."""
    state = State(folder)
    for at, name in enumerate(names):
        ports = {"main": 15_000 + at, "bus": 16_000 + at, "storage": 17_000}
        nodes = tuple(Node(f"{name}-{number}", f"127.0.0.{number}", ports) for number in (1, 2))
        state.put(name, Entry("1", "pass-word", nodes))
    return Services(folder)


def test_status_is_json_of_every_service_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "status", "--json", "--dir", str(tmp_path / "none")]) == 0
    status = json.loads(capsys.readouterr().out)
    assert list(status) == list(NAMES)
    assert all(each == {"up": False, "version": None, "address": None, "nodes": []} for each in status.values())


def test_status_asks_for_no_password_and_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(tmp_path, *NAMES)
    for more in ([], ["--json"]):
        assert main(["services", "status", "--dir", str(tmp_path), *more]) == 0
        assert "pass-word" not in capsys.readouterr().out


def test_down_where_nothing_was_up_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "down", "--dir", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()
    assert "never set up here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["up", "nosuch"],
        ["up", "--nodes", "0"],
        ["up", "--kafka-heap-mb", "little"],
        ["up", "--cassandra-heap-mb", "1"],
        ["down", "--nodes", "2"],
        ["sideways"],
        [],
    ],
)
def test_bad_usage_is_told_before_anything_is_done(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["services", *words])
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_used_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["services", "up", "redis", "--dir", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_the_settings_point_at_what_is_there_and_fit_the_engine(tmp_path: Path) -> None:
    services = set_up(tmp_path, *NAMES)
    file = tmp_path / "real.toml"
    write_settings(services, NAMES, file)
    settings = load_settings(file)
    assert settings.sql.url.startswith("postgresql+asyncpg://hexcab:pass-word@127.0.0.1:")
    assert settings.redis.url.startswith("redis://:pass-word@127.0.0.1:")
    assert settings.kafka.brokers.count(":") == 2
    assert (settings.cassandra.hosts, settings.cassandra.port) == ("127.0.0.1,127.0.0.2", 15_005)
    assert settings.cassandra.replication == "2"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_named_decides_which_sql_and_which_redis(tmp_path: Path) -> None:
    services = set_up(tmp_path, *NAMES)
    tree = tomllib.loads(settings_text(services, ["mariadb", "redis-cluster"]))
    assert tree.keys() == {"sql", "redis"}
    assert tree["sql"]["url"].startswith("mysql+asyncmy://hexcab:pass-word@")
    assert tree["redis"]["url"].startswith("redis+cluster://:pass-word@127.0.0.1:15001,127.0.0.2:15001")


def test_what_is_not_there_keeps_its_default(tmp_path: Path) -> None:
    services = set_up(tmp_path, "kafka")
    write_settings(services, NAMES, tmp_path / "real.toml")
    settings = load_settings(tmp_path / "real.toml")
    assert (settings.sql, settings.redis, settings.cassandra) == (
        Settings().sql,
        Settings().redis,
        Settings().cassandra,
    )


def test_the_file_may_be_written_again_and_no_other_is_touched(tmp_path: Path) -> None:
    services = set_up(tmp_path, "kafka")
    own, theirs = tmp_path / "own.toml", tmp_path / "theirs.toml"
    write_settings(services, NAMES, own)
    write_settings(services, NAMES, own)
    theirs.write_text("[web]\nport = 9000\n")
    with pytest.raises(Conflict, match=str(theirs)):
        write_settings(services, NAMES, theirs)
    assert theirs.read_text() == "[web]\nport = 9000\n"


@pytest.mark.slow
def test_up_status_down_from_the_command_line(
    new_servers: Callable[[], Services], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(new_servers().folder)
    words = ["redis", "--dir", folder, "--json"]
    code = main(["services", "up", *words, "--settings", str(tmp_path / "real.toml")])
    said = capsys.readouterr()
    if "is not installed" in said.err:
        skip_or_fail(said.err)
    assert code == 0, said.err
    assert "hexcab serve --settings" in said.err
    status = json.loads(said.out)["redis"]
    assert status["up"]
    assert status["address"] in load_settings(tmp_path / "real.toml").redis.url
    assert main(["services", "status", *words]) == 0
    assert json.loads(capsys.readouterr().out)["redis"] == status
    assert main(["services", "down", *words]) == 0
    assert not json.loads(capsys.readouterr().out)["redis"]["up"]
