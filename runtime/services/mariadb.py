"""A MariaDB server with the database and the user `hexcab`, who may make more databases named hexcab... for tests."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from core.errors import Unavailable
from runtime.services.model import Entry, NodePlan, OneNode, Say, Site, not_installed
from runtime.services.places import find_program
from runtime.services.processes import runner
from runtime.services_settings import ServicesSettings


class Mariadb(OneNode):
    """One server; its administrator comes in by the unix socket in the data folder alone."""

    name = "mariadb"
    accounts: tuple[str, ...] = ("mysql",)
    stop = signal.SIGTERM

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind."""
        said = runner(Path("/"), None, settings.tool_timeout_s)([_program("mariadbd"), "--version"])
        _program("mariadb")
        found = re.search(r"Ver ([\d.]+)", said)
        return found.group(1) if found else said.strip()

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        return (NodePlan("mariadb", "127.0.0.1", ("main",)),)

    def prepare(self, site: Site) -> None:
        """See Kind."""
        site.run(
            [
                *(_program("mariadb-install-db"), "--no-defaults", f"--datadir={site.folder / 'data'}"),
                *("--auth-root-authentication-method=socket", "--skip-test-db"),
            ]
        )

    def command(self, site: Site) -> list[str]:
        """The user is made by a file that the server reads at every start."""
        first = site.folder / "first.sql"
        site.write(
            first,
            "CREATE DATABASE IF NOT EXISTS hexcab;\n"
            f"CREATE OR REPLACE USER hexcab@'127.0.0.1' IDENTIFIED BY '{site.entry.secret}';\n"
            "GRANT ALL ON `hexcab%`.* TO hexcab@'127.0.0.1';\n",
        )
        return [
            *(_program("mariadbd"), "--no-defaults", f"--datadir={site.folder / 'data'}", "--socket=s"),
            *(f"--bind-address={site.node.host}", f"--port={site.node.ports['main']}", "--skip-name-resolve"),
            *(f"--init-file={first}", f"--pid-file={site.folder / 'mariadbd.pid'}"),
            *("--character-set-server=utf8mb4", "--default-time-zone=+00:00", "--max-connections=200"),
            *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=48M", "--performance-schema=OFF"),
        ]

    def ready(self, site: Site) -> bool:
        """See Kind."""
        try:
            return sql(site, "SELECT 1").strip() == "1"
        except Unavailable:
            return False

    def url(self, entry: Entry) -> str:
        """A URL of SQLAlchemy with the driver asyncmy."""
        return f"mysql+asyncmy://hexcab:{entry.secret}@{entry.nodes[0].address}/hexcab"


def sql(site: Site, statement: str) -> str:
    """What the client prints for a statement of the user hexcab, bare. Raises Unavailable."""
    return site.run(
        [
            *(_program("mariadb"), "--no-defaults", "--batch", "--skip-column-names", "--protocol=tcp"),
            *(f"--host={site.node.host}", f"--port={site.node.ports['main']}", "--user=hexcab"),
            *(f"--connect-timeout={max(1, round(site.settings.check_timeout_s))}", f"--execute={statement}", "hexcab"),
        ],
        env={"MYSQL_PWD": site.entry.secret},
    )


def _program(name: str) -> str:
    path = find_program(name)
    if path is None:
        raise not_installed(name, "apt-get install mariadb-server")
    return path
