"""`python -m guests` makes the guests that are not in the cache, and says what it does."""

from __future__ import annotations

import sys

from guests.javascript import build as javascript
from guests.kit import BuildError
from guests.python import build as python


def main() -> int:
    """Builds all guests."""
    for name, build in (("Python", python.build), ("JavaScript", javascript.build)):
        try:
            build()
        except BuildError as error:
            print(f"The {name} guest cannot be built: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
