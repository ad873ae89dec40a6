from __future__ import annotations

import pytest

from pipelines.errors import InvalidError
from proxy.signatures import secrets_of


def test_secrets_are_listed_by_commas_and_those_of_key_files_are_hexadecimal():
    own = bytes(range(32))
    assert secrets_of(own, "") == [own]
    assert secrets_of(b"", f"new, hex:{own.hex()},") == [b"new", own]
    with pytest.raises(InvalidError):
        secrets_of(b"", "hex:zz")
