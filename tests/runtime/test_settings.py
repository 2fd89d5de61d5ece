"""A settings file is refused as a whole, with the place that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import BadFile
from runtime.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[dispatch]\noffers = 3\n", "offers"),
        ("[dispatch]\noffer_s = 'long'\n", "dispatch.offer_s"),
        ("[dispatch]\noffer_s = -1.0\n", "dispatch.offer_s"),
        ("[dispatch]\nauto_accept = 1\n", "dispatch.auto_accept"),
        ("[location]\nmax_frame_bytes = 0\n", "location.max_frame_bytes"),
        ("[location]\nmax_frame_bytes = 1.5\n", "location.max_frame_bytes"),
        ("[runtime]\nclock_speed = nan\n", "runtime.clock_speed"),
        ("[runtime]\nclock_speed = inf\n", "runtime.clock_speed"),
        ("[runtime]\nclock_speed = 0\n", "runtime.clock_speed"),
        ("[runtime]\nlog_level = 'shout'\n", "runtime.log_level"),
        ("[web]\nport = 70000\n", "web.port"),
        ("[cassandra]\nkeyspace = 'a; DROP'\n", "cassandra.keyspace"),
        ("[cassandra]\nreplication = '0'\n", "cassandra.replication"),
        ("[cassandra]\nreplication = 'dc1=3'\n", "cassandra.replication"),
        ("[cassandra]\nconsistency = 'ONE'\n", "cassandra.consistency"),
        ("[cassandra]\nport = 0\n", "cassandra.port"),
        ("[cassandra]\nattempts = 0\n", "cassandra.attempts"),
        ("[nowhere]\n", "nowhere"),
        ("dispatch = 3\n", "dispatch"),
        ("[dispatch\n", "line 1"),
        ("offer_s = 1\n", "offer_s"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(BadFile) as refused:
        load_settings(file)
    assert str(file) in refused.value.detail
    assert named in refused.value.detail


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xff\xfe[web]")
    with pytest.raises(BadFile, match=r"settings\.toml"):
        load_settings(file)


def test_zero_is_fine_where_it_means_something(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[web]\nport = 0\n[fares]\nbase_minor = 0\n[dispatch]\nseconds_per_idle_minute = 0\n")
    loaded = load_settings(file)
    assert (loaded.web.port, loaded.fares.base_minor, loaded.dispatch.seconds_per_idle_minute) == (0, 0, 0)
    assert loaded.location == Settings().location
