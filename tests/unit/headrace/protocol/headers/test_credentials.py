"""The user in the audit log, out of whatever a header has."""

from __future__ import annotations

import pytest

from headrace.protocol.headers.credentials import user_of


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Basic YWRhOng=", "ada"),
        ("Basic é", "basic"),
        ("Basic //4=", "basic"),
        ("Basic x", "basic"),
        ("Bearer é", "bearer"),
        ("Bearer", "unknown"),
        ("S3cr3tToken", "unknown"),
        ("S3cr3t Token", "unknown"),
        ("AWS4-HMAC-SHA256 Credential=x", "aws4-hmac-sha256"),
        ("", ""),
    ],
)
def test_user_of(header, user):
    assert user_of(header) == user
