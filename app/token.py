"""`hexcab token`: a bearer token signed with the server's key."""

from __future__ import annotations

import argparse
import sys

from app.keys import server_key
from runtime.auth import Tokens
from runtime.datadir import DataDir
from runtime.settings import load_settings


def run(arguments: argparse.Namespace) -> int:
    """Print a token; ops need no id."""
    subject = arguments.id or ("ops" if arguments.scope == "ops" else None)
    if subject is None:
        print(f"hexcab: a {arguments.scope} token needs --id", file=sys.stderr)
        return 2
    settings = load_settings(arguments.settings)
    key = server_key(DataDir(arguments.data_dir), settings.cluster)
    print(Tokens(key).sign(arguments.scope, subject, settings.web.token_s))
    return 0
