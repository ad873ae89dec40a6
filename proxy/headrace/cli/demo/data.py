"""A small data set of support tickets, made up by a fixed rule so that every run is the same."""

from __future__ import annotations

from typing import Any

SUBJECTS = ["Login fails", "Invoice is wrong", "Slow search", "Export is empty", "Password reset", "API returns 500"]
PEOPLE = ["ada@example.org", "grace.hopper@example.com", "linus@example.net", "barbara@example.org"]
LEVELS = ["INFO", "WARN", "ERROR", "DEBUG"]
TENANTS = ["north", "south"]


def tickets(count: int = 400) -> list[dict[str, Any]]:
    """`count` tickets with subject, level, tenant, priority and a contact in running text."""
    return [
        {
            "subject": SUBJECTS[i % len(SUBJECTS)],
            "level": LEVELS[i % len(LEVELS)],
            "tenant": TENANTS[(i // 4) % len(TENANTS)],
            "priority": i % 7,
            "note": f"Call back or write to {PEOPLE[i % len(PEOPLE)]} about ticket {i}.",
        }
        for i in range(count)
    ]


MAPPING: dict[str, Any] = {
    "properties": {
        "subject": {"type": "text"},
        "level": {"type": "keyword"},
        "tenant": {"type": "keyword"},
        "source": {"type": "keyword"},
        "priority": {"type": "integer"},
        "note": {"type": "text"},
    }
}
