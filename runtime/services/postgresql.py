"""A PostgreSQL server with the database and the user `hexcab`, who may make more databases for tests."""

from __future__ import annotations

import re
import secrets
import signal
from pathlib import Path

from core.errors import Unavailable
from runtime.services.model import Entry, NodePlan, OneNode, Say, Site, not_installed
from runtime.services.places import find_program
from runtime.services.processes import runner
from runtime.services_settings import ServicesSettings


class Postgresql(OneNode):
    """One server that listens on loopback alone, without a unix socket."""

    name = "postgresql"
    accounts: tuple[str, ...] = ("postgres",)
    stop = signal.SIGINT  # fast shutdown: clients are cut off, the files are in order

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind."""
        said = runner(Path("/"), None, settings.tool_timeout_s)([_program("postgres"), "--version"])
        _program("psql")
        return said.split()[2]

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        return (NodePlan("postgresql", "127.0.0.1", ("main",)),)

    def prepare(self, site: Site) -> None:
        """The superuser ends without a password, and so cannot log in over the network."""
        data, password = str(site.folder / "data"), site.folder / "password"
        site.write(password, f"{secrets.token_urlsafe()}\n")
        site.run(
            [
                *(_program("initdb"), "--pgdata", data, "--username", "postgres", "--encoding", "UTF8"),
                *("--locale", "C.UTF-8", "--auth", "scram-sha-256", "--pwfile", str(password), "--no-instructions"),
            ]
        )
        password.unlink()
        site.run(
            [_program("postgres"), "--single", "-D", data, "postgres"],
            text=f"CREATE ROLE hexcab LOGIN CREATEDB PASSWORD '{site.entry.secret}'\n"
            "CREATE DATABASE hexcab OWNER hexcab\n"
            "ALTER ROLE postgres PASSWORD NULL\n",
        )

    def command(self, site: Site) -> list[str]:
        """See Kind."""
        options = {
            "listen_addresses": site.node.host,
            "port": str(site.node.ports["main"]),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(site.folder / "data"), *words]

    def ready(self, site: Site) -> bool:
        """See Kind."""
        try:
            return sql(site, "SELECT 1").strip() == "1"
        except Unavailable:
            return False

    def url(self, entry: Entry) -> str:
        """A URL of SQLAlchemy with the driver asyncpg."""
        return f"postgresql+asyncpg://hexcab:{entry.secret}@{entry.nodes[0].address}/hexcab"


def sql(site: Site, statement: str) -> str:
    """What psql prints for a statement of the user hexcab, bare. Raises Unavailable."""
    wait_s = str(max(2, round(site.settings.check_timeout_s)))  # psql takes 1 for 2
    return site.run(
        [
            *(_program("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"),
            *(f"--host={site.node.host}", f"--port={site.node.ports['main']}", "--username=hexcab", "--dbname=hexcab"),
            f"--command={statement}",
        ],
        env={"PGPASSWORD": site.entry.secret, "PGCONNECT_TIMEOUT": wait_s},
    )


def _program(name: str) -> str:
    """On Debian the programs stand in a folder per version, beside those on the PATH; the newest is taken."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number)
    path = find_program(name, *(str(folder) for folder in reversed(versions)))
    if path is None:
        raise not_installed(name, "apt-get install postgresql")
    return path


def _number(folder: Path) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", folder.parent.name))
