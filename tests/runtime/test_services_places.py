"""Ports, accounts and folders of services."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from core.errors import Unavailable
from runtime.services.model import NodePlan
from runtime.services.places import Account, account, default_cache, default_folder, free_ports, reachable, taken
from runtime.services.starting import placed

STRANGER = Account("stranger", 54_321, 54_321)


def test_ports_are_free_and_different() -> None:
    ports = free_ports("127.0.0.1", 20)
    assert len(set(ports)) == 20
    assert not any(taken("127.0.0.1", port) for port in ports)


def test_ports_are_none_that_the_system_lends_to_clients() -> None:
    lent = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(lent.read_text().split()[0]) if lent.exists() else 32_768
    assert all(1_024 < port < max(first, 32_768) for port in free_ports("127.0.0.1", 20))


def test_a_port_with_a_listener_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert taken("127.0.0.1", server.getsockname()[1])


def test_nodes_on_one_address_have_ports_of_their_own() -> None:
    nodes = placed([NodePlan(f"n{number}", "127.0.0.1", ("main", "bus")) for number in range(3)])
    assert len({port for node in nodes for port in node.ports.values()}) == 6


def test_nodes_on_different_addresses_share_their_ports() -> None:
    first, second = placed([NodePlan(f"n{number}", f"127.0.0.{number}", ("main", "storage")) for number in (1, 2)])
    assert first.ports == second.ports
    assert first.address != second.address


def test_a_closed_directory_on_the_way_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner").chmod(0o711)
    closed.chmod(0o700)
    open_to_all = [each for each in (tmp_path, *tmp_path.parents) if not each.stat().st_mode & 0o001]
    with pytest.raises(Unavailable, match=f"stranger cannot enter {(open_to_all or [closed])[-1]}"):
        reachable(closed / "inner", STRANGER)


def test_one_who_runs_servers_as_oneself_may_enter_what_is_ones_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    reachable(tmp_path, None)


def test_the_owner_and_the_group_are_judged_by_their_own_bits(tmp_path: Path) -> None:
    for each in ("/", "/tmp"):
        reachable(Path(each), STRANGER)
    own = Account("me", os.getuid(), os.getgid())
    tmp_path.chmod(0o001)
    try:
        with pytest.raises(Unavailable, match=str(tmp_path)):
            reachable(tmp_path, own)
    finally:
        tmp_path.chmod(0o700)


def test_only_root_runs_servers_as_somebody_else() -> None:
    chosen = account(("no-such-user-here",))
    assert (chosen is not None) == (os.geteuid() == 0)
    if chosen:
        assert chosen.name == "nobody"


def test_homes_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        monkeypatch.setenv("HEXCAB_HOME", str(place / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        assert default_folder() == place / "home" / "services"
        assert default_cache() == place / "cache" / "hexcab"


def test_a_cache_that_is_closed_to_others_is_not_used_by_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    usual = tmp_path / "cache" / "hexcab"
    assert default_cache() == (Path("/var/cache/hexcab") if os.geteuid() == 0 else usual)
