"""Up, down and status, with small processes instead of real servers."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import Conflict, InvalidInput, NotFound, Unavailable
from runtime.services.manager import Services
from runtime.services_settings import ServicesSettings
from tests.runtime.fake_kind import FakeKind

pytestmark = pytest.mark.slow
SETTINGS = ServicesSettings(start_timeout_s=20.0, stop_timeout_s=5.0, poll_s=0.02, start_tries=2)

Make = Callable[..., Services]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Services] = []

    def services(*kinds: FakeKind, settings: ServicesSettings = SETTINGS) -> Services:
        made.append(Services(tmp_path / "s", settings, tmp_path / "cache", {kind.name: kind for kind in kinds}))
        return made[-1]

    yield services
    for each in made:
        each.down()


def pids(services: Services, name: str = "fake") -> list[int]:
    return [node.pid for node in services.status()[name].nodes]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)])


def test_what_was_never_up_is_shown_as_such(make: Make) -> None:
    status = make(FakeKind()).status()["fake"]
    assert (status.up, status.version, status.address, status.nodes) == (False, None, None, ())


def test_up_is_told_by_the_server_itself(make: Make) -> None:
    services = make(FakeKind())
    services.up()
    status = services.status()["fake"]
    assert (status.up, status.version) == (True, "1.2")
    assert status.address == services.sites("fake")[0].node.address
    assert services.url("fake") == f"fake://{services.sites('fake')[0].entry.secret}@{status.address}"


def test_up_again_changes_nothing(make: Make) -> None:
    services = make(kind := FakeKind())
    services.up(nodes=2)
    before = services.status()
    services.up()
    make(kind).up(nodes=2)
    assert services.status() == before


def test_what_died_is_seen_and_started_again_on_its_data_and_port(make: Make) -> None:
    services = make(kind := FakeKind())
    services.up(nodes=3)
    before = services.status()["fake"]
    kill(before.nodes[1].pid)
    broken = services.status()["fake"]
    assert (broken.up, [node.up for node in broken.nodes], broken.nodes[1].pid) == (False, [True, False, True], 0)
    (services.sites("fake")[1].folder / "data").write_text("kept")
    services.up()
    after = services.status()["fake"]
    assert (after.up, after.address) == (True, before.address)
    assert [a.pid == b.pid for a, b in zip(after.nodes, before.nodes, strict=True)] == [True, False, True]
    assert (services.sites("fake")[1].folder / "data").read_text() == "kept"
    assert kind.prepared == 3


def test_down_leaves_nothing_running_and_may_be_repeated(make: Make) -> None:
    services = make(FakeKind())
    services.up(nodes=2)
    running = pids(services)
    address = services.status()["fake"].address
    services.down()
    services.down()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in running)
    status = services.status()["fake"]
    assert (status.up, status.address, pids(services)) == (False, address, [0, 0])
    services.up()
    assert services.status()["fake"].address == address


def test_down_ends_a_paused_server_too(make: Make) -> None:
    services = make(FakeKind())
    services.up()
    os.kill(pids(services)[0], signal.SIGSTOP)
    services.down()
    assert pids(services) == [0]


def test_down_touches_no_other_process_that_got_the_pid(make: Make, tmp_path: Path) -> None:
    services = make(FakeKind())
    services.up()
    services.down()
    file = tmp_path / "s" / "state.json"
    file.write_text(
        file.read_text().replace('"pid": 0', f'"pid": {os.getpid()}').replace('"birth": ""', '"birth": "b:1"')
    )
    assert pids(services) == [0], "the file names the process of this test"
    services.down()
    services.up()
    assert services.status()["fake"].up


def test_a_server_that_ends_at_once_is_tried_again(make: Make) -> None:
    services = make(FakeKind(scripts=["end", "serve"]))
    services.up()
    assert services.status()["fake"].up


def test_one_that_never_starts_is_told_with_its_last_words_and_its_log(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        make(FakeKind(scripts=["end"])).up()
    log = tmp_path / "s" / "logs" / "fake-0.log"
    assert refused.value.detail == f"fake-0 ended at once: FATAL: it cannot be (log: {log})"
    assert log.read_text().count("at first") == SETTINGS.start_tries


def test_one_that_never_answers_is_stopped(make: Make) -> None:
    patience = ServicesSettings(start_timeout_s=0.5, poll_s=0.02)
    services = make(FakeKind(scripts=["hang"]), settings=patience)
    with pytest.raises(Unavailable, match=r"fake-0 did not answer within 0\.5 s: thinking"):
        services.up()
    assert pids(services) == [0]


def test_the_others_are_up_when_one_fails(make: Make) -> None:
    services = make(FakeKind(), FakeKind("bad", ["end"]))
    with pytest.raises(Unavailable, match="bad-0 ended at once"):
        services.up()
    assert [status.up for status in services.status().values()] == [True, False]


def test_all_that_is_missing_is_named_before_anything_starts(make: Make) -> None:
    services = make(FakeKind(), FakeKind("a", installed=False), FakeKind("b", installed=False))
    with pytest.raises(Unavailable, match=r"a is not installed: apt-get install a; b is not installed") as refused:
        services.up()
    assert refused.value.code == "not_installed"
    assert services.status()["fake"].address is None


def test_data_that_was_half_made_is_made_anew(make: Make) -> None:
    kind = FakeKind()
    kind.prepare_fails = 1
    services = make(kind)
    with pytest.raises(Unavailable, match="no data today"):
        services.up()
    services.up()
    assert services.status()["fake"].up


def test_a_folder_in_the_way_is_left_alone(make: Make, tmp_path: Path) -> None:
    theirs = tmp_path / "s" / "fake-0"
    theirs.mkdir(parents=True)
    (theirs / "letter").write_text("dear")
    with pytest.raises(Conflict, match=str(theirs)):
        make(FakeKind()).up()
    assert (theirs / "letter").read_text() == "dear"


def test_a_port_that_a_stranger_took_is_named(make: Make) -> None:
    services = make(FakeKind())
    services.up()
    services.down()
    node = services.sites("fake")[0].node
    with socket.create_server((node.host, node.ports["main"])):
        with pytest.raises(Conflict, match=node.address) as refused:
            services.up()
    assert refused.value.code == "port_unavailable"


def test_a_service_keeps_its_number_of_nodes(make: Make) -> None:
    services = make(FakeKind())
    services.up(nodes=2)
    with pytest.raises(Conflict, match="2 node") as refused:
        services.up(nodes=1)
    assert refused.value.code == "services_nodes"


def test_what_cannot_be_meant_is_refused(make: Make) -> None:
    services = make(FakeKind())
    with pytest.raises(InvalidInput, match="nosuch"):
        services.up(["nosuch"])
    for number in (0, SETTINGS.max_nodes + 1):
        with pytest.raises(InvalidInput, match="nodes"):
            services.up(nodes=number)
    with pytest.raises(NotFound, match="never up"):
        services.url("fake")
