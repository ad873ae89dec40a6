"""`python -m guests` makes the guests that are not in the cache, side by side, and says what it does."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from guests.javascript import build as javascript
from guests.kit import BuildError
from guests.python import build as python

if TYPE_CHECKING:
    from collections.abc import Callable

GUESTS: dict[str, Callable[[], object]] = {"Python": python.build, "JavaScript": javascript.build}


def main() -> int:
    """Builds all guests; returns the exit status. Both are tried, so that one run shows every failure."""
    status = 0
    with ThreadPoolExecutor(len(GUESTS)) as pool:
        running = {name: pool.submit(build) for name, build in GUESTS.items()}
        for name, build in running.items():
            try:
                build.result()
            except BuildError as error:
                print(f"The {name} guest cannot be built: {error}", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
