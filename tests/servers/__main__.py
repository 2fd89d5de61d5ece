"""Run a command whose tests share servers, and stop these at its end, whatever ends it: python -m tests.servers CMD.

The tests start what they need, at its first use. Gives the command's exit code. Where HEXCAB_SERVICES_DIR is set
already, its servers are used and left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.servers.running import new_folder, remove, remove_leftovers


def main(words: list[str]) -> int:
    """Run the command; SIGTERM is passed on, Ctrl-C reaches it from the terminal."""
    if "HEXCAB_SERVICES_DIR" in os.environ:
        return subprocess.call(words)
    remove_leftovers()
    folder = new_folder()
    try:
        command = subprocess.Popen(words, env=os.environ | {"HEXCAB_SERVICES_DIR": str(folder)})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # only now: the command would have taken it over
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        code = command.wait()
        return 128 - code if code < 0 else code
    finally:
        remove(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
