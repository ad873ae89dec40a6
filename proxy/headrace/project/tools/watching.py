"""Follows the files of a project until the command is to end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import DefaultFilter, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchfiles import Change

TIMEOUT_MS = 250
"""Milliseconds between two looks at whether the command is to end, and before the first work."""
DEBOUNCE_MS = 50
"""Milliseconds in which changes count as one: an editor writes a file in several steps."""
STEP_MS = 20
"""Milliseconds without a change after which the changes are complete."""
ENDINGS = (".yaml", ".yml", ".json", ".ndjson", ".toml", ".py", ".js", ".mjs", ".wasm", ".wat", ".zip", ".whl")
"""Files that a project reads; editors and reports write others."""


class _Files(DefaultFilter):
    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(ENDINGS) and super().__call__(change, path)


def follow(folder: Path, work: Callable[[set[str]], None]) -> None:
    """Calls `work` with no paths, then after each change with the paths in the folder that changed.

    It ends with SIGINT and SIGTERM. No change is missed: the watcher runs before the first work.
    """
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    root = folder.resolve()
    looks = watch(
        root,
        watch_filter=_Files(),
        stop_event=over,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=TIMEOUT_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    first = True
    for changes in looks:
        paths = {Path(path).relative_to(root).as_posix() for _, path in changes}
        if first or paths:
            work(set() if first else paths)
        first = False
