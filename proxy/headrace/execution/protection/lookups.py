"""Which searches over unprotected indexes need a review: those that may read a document of another index."""

from __future__ import annotations

SIGNS = (b"index", b"wrapper", b"\\", b"\0")
"""A look-up names an index or an indexed shape. A wrapper, an escape, or another encoding may hide that word."""


def may_have_lookups(body: bytes) -> bool:
    """Whether a body can hold a look-up: of a search over indexes that nothing protects, where others are protected.

    False is certain for JSON in UTF-8, with or without what the node takes beyond the standard.
    """
    return any(sign in body for sign in SIGNS)
