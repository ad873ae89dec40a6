"""When certificates end: read from the files of the settings.

The standard library reads the dates of a certificate only in a handshake that it has trusted. So the one field that is
needed is read here: `validity.notAfter` of RFC 5280, in DER.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.settings import Settings

SETTINGS = ("tls_cert", "tls_client_ca", "upstream_ca", "upstream_cert")
"""Settings that name a file of certificates."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17


def expiries(settings: Settings) -> dict[str, float]:
    """The earliest end of the certificates of each setting, in seconds since 1970; files that cannot be read: none."""
    found = {}
    for setting in SETTINGS:
        path = getattr(settings, setting)
        try:
            ends = [not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(Path(path).read_text())]
        except (OSError, ValueError, IndexError):
            continue
        if ends:
            found[setting] = min(ends)
    return found


def not_after(der: bytes) -> float:
    """The end of a certificate in seconds since 1970. Raises ValueError or IndexError for what is none."""
    body, _ = _contents(der, _contents(der, 0)[0])
    if der[body] == _VERSION:
        body = _contents(der, body)[1]
    for _ in ("serial number", "signature algorithm", "issuer"):
        body = _contents(der, body)[1]
    start, _ = _contents(der, body)
    start = _contents(der, start)[1]
    text_start, text_end = _contents(der, start)
    text = der[text_start:text_end].decode("ascii")
    if der[start] == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits from 50 on are of the last century.
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _contents(der: bytes, at: int) -> tuple[int, int]:
    """Start and end of the contents of the element at a position."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start], "big")
    if start + length > len(der):
        raise ValueError("the element is cut off")
    return start, start + length
