"""Where services keep their files, who runs them when we are root, and which ports are free."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import Unavailable
from runtime.home import default_home

_LOWEST_PORT = 15_000
_TRIES = 2_000


class Account(NamedTuple):
    """A system user that runs a server when we are root."""

    name: str
    uid: int
    gid: int


def default_folder() -> Path:
    """`services` in $HEXCAB_HOME; without it in the user's data directory, or for root in /var/lib.

    Root's home is closed to the users that run the servers then.
    """
    if _is_root() and not os.environ.get("HEXCAB_HOME"):
        return Path("/var/lib/hexcab/services")
    return default_home() / "services"


def default_cache() -> Path:
    """`hexcab` in $XDG_CACHE_HOME; without it in ~/.cache.

    For root in /var/cache, for the same reason, unless $XDG_CACHE_HOME names a place that everybody may enter.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    folder = Path(named).expanduser().absolute() if named else Path.home() / ".cache"
    if _is_root() and not (named and _is_open(folder)):
        folder = Path("/var/cache")
    return folder / "hexcab"


def account(names: Sequence[str]) -> Account | None:
    """The first system user of these that exists, or None when we are not root and run servers as ourselves."""
    if not _is_root():
        return None
    for name in (*names, "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise Unavailable(f"servers must not run as root, and there is no user {' or '.join((*names, 'nobody'))}")


def reachable(folder: Path, by: Account | None) -> None:
    """Raises Unavailable, naming the closed directory, when the account cannot get to the folder."""
    if by is None:
        return
    for each in reversed((folder, *folder.parents)):
        mode = each.stat()
        needed = 0o100 if mode.st_uid == by.uid else 0o010 if mode.st_gid == by.gid else 0o001
        if not mode.st_mode & needed:
            raise Unavailable(f"the user {by.name} cannot enter {each}; needed for {folder}; choose another place")


def make_folder(folder: Path, owner: Account | None, mode: int = 0o700) -> None:
    """Make a folder that belongs to the account."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    give(folder, owner)


def give(path: Path, owner: Account | None) -> None:
    """Make a file or a folder belong to the account; when we are not root everything is ours already."""
    if owner is not None:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def free_ports(host: str, count: int) -> list[int]:
    """Ports that nobody listens on, below those that the system lends to clients.

    A server that died must find its port again, and a client that knocks meanwhile must not be lent that very port: on
    loopback it would then be connected to itself. Raises Unavailable.
    """
    top = _lent_from()
    held: list[socket.socket] = []
    try:
        for _ in range(_TRIES):
            if len(held) == count:
                return [each.getsockname()[1] for each in held]
            port = _LOWEST_PORT + secrets.randbelow(top - _LOWEST_PORT)
            each = socket.socket()
            held.append(each)
            try:
                each.bind((host, port))
            except OSError:
                held.remove(each)
                each.close()
        raise Unavailable(f"no {count} free ports between {_LOWEST_PORT} and {top} on {host}")
    finally:
        for each in held:
            each.close()


def taken(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a former server left behind is no owner
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def find_program(name: str, *folders: str) -> str | None:
    """The path of a program on the PATH, in the system's own folders or in the given ones."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", *folders])
    return shutil.which(name, path=path)


def _lent_from() -> int:
    with contextlib.suppress(OSError, ValueError):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
        if lowest > _LOWEST_PORT + _TRIES:
            return lowest
    return 32_768


def _is_open(folder: Path) -> bool:
    """Whether everybody may enter it, as far as it is there."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents) if each.exists())


def _is_root() -> bool:
    return os.geteuid() == 0
