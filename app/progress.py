"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing at all under --json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

Report = Callable[[str, float], None]  # (what is being done, share done from 0 to 1)


@contextmanager
def progress(title: str, quiet: bool = False) -> Iterator[Report]:
    """A reporter for one piece of work; writes to stderr, so that stdout stays for results."""
    if quiet:
        yield lambda _stage, _share: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _on_bar(bar, bar.add_task(title, total=1.0), title)
    else:
        yield _in_lines(title)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _on_bar(bar: Progress, task: TaskID, title: str) -> Report:
    return lambda stage, share: bar.update(task, completed=share, description=f"{title}: {stage}")


def _in_lines(title: str) -> Report:
    said: list[str] = []

    def report(stage: str, share: float) -> None:
        tenth = int(share * 10)
        line = f"{stage} {tenth * 10}%"
        if not said or said[-1] != line:
            said.append(line)
            print(f"{title}: {line}", file=sys.stderr, flush=True)

    return report
