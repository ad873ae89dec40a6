from __future__ import annotations

import pytest

from headrace.security import admin


def test_reasons_of_failures_are_left_out_wherever_they_stand():
    error = {"time": "t", "stage": "s", "type": "x", "reason": "a value", "document": "{n: string}"}
    stats = {"pipelines": [{"stages": [{"last_errors": [error]}], "last_errors": [error]}], "reason": "kept"}
    shown = admin._without_reasons(stats)
    assert "a value" not in str(shown)
    assert shown["reason"] == "kept"
    assert shown["pipelines"][0]["last_errors"] == [{k: v for k, v in error.items() if k != "reason"}]
    assert stats["pipelines"][0]["last_errors"] == [error]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9280", True),
        ("127.8.9.1", True),
        ("[::1]:9280", True),
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("search.internal:9280", True),
        ("balancer", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
        ("10.0.0.1", False),
    ],
)
def test_names_of_a_proxy_on_loopback(host, own):
    assert admin.is_own_name(host, "search.internal:9280", "balancer, other") is own
    assert admin.is_own_name(host, "", "*")
