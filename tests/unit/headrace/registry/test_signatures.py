from __future__ import annotations

import pytest

from headrace.registry.signatures import secrets_of
from headrace_pipelines.errors import InvalidError


def test_secrets_are_listed_by_commas_and_those_of_key_files_are_hexadecimal():
    own = bytes(range(32))
    assert secrets_of(own, "") == [own]
    assert secrets_of(b"", f"new, hex:{own.hex()},") == [b"new", own]
    with pytest.raises(InvalidError):
        secrets_of(b"", "hex:zz")
