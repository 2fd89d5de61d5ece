"""What a directory of services remembers, and which process is the one that it remembers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.errors import BadFile, Conflict
from runtime.services.model import Entry, Node
from runtime.services.processes import alive, birth
from runtime.services.state import State

NODE = Node("redis", "127.0.0.1", {"main": 15_001})
ENTRY = Entry("7.0", "secret", (NODE, msgspec.structs.replace(NODE, name="other")))


def test_what_was_put_is_there_for_the_next_command(tmp_path: Path) -> None:
    State(tmp_path).put("redis", ENTRY)
    assert State(tmp_path).entries() == {"redis": ENTRY}


def test_a_node_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.put("redis", ENTRY)
    started = msgspec.structs.replace(NODE, pid=7, birth="b")
    state.put_node("redis", started)
    assert State(tmp_path).entries()["redis"].nodes == (started, ENTRY.nodes[1])


def test_only_the_owner_reads_the_passwords(tmp_path: Path) -> None:
    State(tmp_path).put("redis", ENTRY)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_directory_without_a_state_has_no_services(tmp_path: Path) -> None:
    assert State(tmp_path / "nowhere").get("redis") is None


@pytest.mark.parametrize("text", ["{", '{"redis": 1}', '{"redis": {"version": "7"}}'])
def test_a_damaged_state_is_named_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(BadFile, match=str(file)):
        State(tmp_path)
    assert file.read_text() == text


def test_two_commands_do_not_change_a_directory_at_the_same_time(tmp_path: Path) -> None:
    with State(tmp_path).held(1.0):
        with pytest.raises(Conflict, match=str(tmp_path)) as refused, State(tmp_path).held(0.0):
            pass
    assert refused.value.code == "services_busy"


def test_who_holds_the_directory_sees_what_the_one_before_did(tmp_path: Path) -> None:
    waiting = State(tmp_path)
    with State(tmp_path).held(1.0) as _:
        State(tmp_path).put("redis", ENTRY)
    with waiting.held(1.0):
        assert waiting.get("redis") == ENTRY


def test_a_process_is_known_by_its_birth() -> None:
    own = msgspec.structs.replace(NODE, pid=os.getpid(), birth=birth(os.getpid()))
    assert own.birth
    assert alive(own)


def test_another_process_with_the_remembered_pid_is_not_taken_for_it() -> None:
    assert not alive(msgspec.structs.replace(NODE, pid=os.getpid(), birth="boot:1"))
    assert not alive(msgspec.structs.replace(NODE, pid=os.getpid(), birth=""))


def test_a_node_that_never_ran_is_not_alive() -> None:
    assert not alive(NODE)


def test_a_process_that_ended_is_not_alive_even_before_its_parent_has_noticed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    node = msgspec.structs.replace(NODE, pid=process.pid, birth=birth(process.pid))
    assert alive(node)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert not alive(node)
    process.communicate()
    assert not alive(node)
