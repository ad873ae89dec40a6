"""What sees the audit log sees requests for changes only, refused ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace.security import audit
from tests.conftest import Http, native

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def seen() -> Iterator[list[dict[str, Any]]]:
    entries: list[dict[str, Any]] = []
    audit.observers.add(entries.append)
    yield entries
    audit.observers.discard(entries.append)


async def test_trial_runs_and_looks_are_no_changes(through: Http, name: str, seen: list[dict[str, Any]]):
    await through.pipeline(name, "document", native("a", "set", field="a", value=1))
    await through.index(name)
    for method, path, body in (
        ("POST", f"/_pipeline/{name}/_execute", {"docs": []}),
        ("POST", "/_pipeline/_execute", {"pipeline": {"type": "nonsense"}}),
        ("POST", f"/{name}/_pipeline/_scan", {}),
        ("POST", "/_proxy/tap", {"duration": "1ms"}),
        ("PUT", f"/{name}/_doc/1?explain_pipelines=true", {"b": 1}),
        ("GET", "/_proxy/info", None),
    ):
        await through(method, path, body)
    assert (await through.put(f"/_pipeline/{name}-bad", {"type": "nonsense"})).status == 400
    actions = [(entry["action"], entry["status"]) for entry in seen]
    assert actions == [(f"PUT /_pipeline/{name}", 201), (f"PUT /_pipeline/{name}-bad", 400)]
    assert seen[0]["type"] == "document"
