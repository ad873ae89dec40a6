"""The indexes of a point in time, out of the cluster's id of it.

Layout (`SearchContextId.encode`, `StreamOutput` of OpenSearch 3.8), in base64 with `-` and `_`: the version as a
variable-length integer, then a map by its length: of each shard the index's name and uuid, the number, the node, an
optional remote cluster, and the context's number (8 bytes) and session.
"""

from __future__ import annotations

import base64
import binascii

_CONTINUED = 0x80
"""The bit of a byte of a variable-length integer that says that another one follows."""


def indexes_of(id_: str) -> list[str] | None:
    """The names of the indexes, sorted; `None` for an id of another layout."""
    try:
        reader = _Reader(base64.b64decode(id_ + "=" * (-len(id_) % 4), altchars=b"-_", validate=True))
        reader.number()
        found = {_shard(reader) for _ in range(reader.number())}
    except (binascii.Error, IndexError, ValueError):
        return None
    return sorted(found)


def _shard(reader: _Reader) -> str:
    """Reads a shard's entry; gives its index."""
    name, _uuid, _number, _node = reader.text(), reader.text(), reader.number(), reader.text()
    if reader.byte():
        name = f"{reader.text()}:{name}"
    reader.skip(8)
    reader.text()
    return name


class _Reader:
    """Reads what `StreamOutput` writes. Every method raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def skip(self, count: int) -> None:
        self._at += count

    def number(self) -> int:
        value, shift = 0, 0
        while (byte := self.byte()) & _CONTINUED:
            value |= (byte & ~_CONTINUED) << shift
            shift += 7
        return value | byte << shift

    def text(self) -> str:
        """UTF-16 units, each in one to three bytes as in UTF-8."""
        units = bytearray()
        for _ in range(self.number()):
            first = self.byte()
            if first >= 0xE0:
                unit = (first & 0x0F) << 12 | (self.byte() & 0x3F) << 6 | (self.byte() & 0x3F)
            elif first >= 0xC0:
                unit = (first & 0x1F) << 6 | (self.byte() & 0x3F)
            else:
                unit = first
            units += unit.to_bytes(2, "little")
        return units.decode("utf-16-le")
