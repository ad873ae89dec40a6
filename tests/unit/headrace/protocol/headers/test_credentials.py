"""The user in the audit log, out of whatever a header has."""

from __future__ import annotations

import pytest

from headrace.protocol.headers.credentials import identity_of, user_of


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Basic YWRhOng=", "ada"),
        ("basic  YWRhOng=", "ada"),
        ("Basic YWRhOng", "ada"),
        ("Basic YWRhOng= more", "ada"),
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


@pytest.mark.parametrize("spelling", ["basic YWRhOng=", "Basic  YWRhOng=", "Basic YWRhOng", "Basic YWRhOng= more"])
def test_a_user_has_the_same_name_in_every_spelling(spelling: str):
    assert identity_of(spelling) == "ada"


def test_spellings_of_a_token_have_the_same_name():
    assert identity_of("Bearer t") == identity_of("bearer  t") != identity_of("Bearer u")
