"""Secrets by reference: in force, and nowhere to be seen."""

from __future__ import annotations

import hashlib

import pytest

from tests.conftest import Http, native, running_proxy, settings_for


@pytest.fixture
async def knowing(node, tmp_path, session, monkeypatch):
    monkeypatch.setenv("HEADRACE_SECRET_SALT", "p3pper-and-salt")
    async with running_proxy(settings_for(node, tmp_path), session) as http:
        yield http


async def test_a_stage_gets_the_value_and_nobody_else(knowing: Http, direct: Http, name: str, caplog):
    code = "import hashlib\ndocument['h'] = hashlib.sha256((params['salt'] + document['v']).encode()).hexdigest()[:8]"
    python = {"name": "p", "type": "python", "config": {"code": code, "parameters": {"salt": "${secret:SALT}"}}}
    set_ = native("s", "set", field="v", value="x-${secret:SALT}") | {"if": "params.value.endsWith('salt')"}
    await knowing.pipeline(name, "document", python, set_)
    ran = await knowing.post(f"/_pipeline/{name}/_execute", {"input": {"v": "a"}})
    digest = hashlib.sha256(b"p3pper-and-salta").hexdigest()[:8]
    assert ran.json["output"] == {"v": "x-***", "h": digest}, "a trial shows no secret"
    shown = await knowing.get(f"/_pipeline/{name}")
    assert b"${secret:SALT}" in shown.body
    for answer in (shown, await knowing.get(f"/_pipeline/{name}/_versions"), await knowing.get("/_pipeline")):
        assert b"p3pper" not in answer.body
    registry = await direct.get("/.headrace*/_search?size=10000&expand_wildcards=all")
    assert name.encode() in registry.body
    assert b"p3pper" not in registry.body
    assert "p3pper" not in caplog.text


@pytest.mark.parametrize(
    "stage",
    [
        native("s", "set", field="v", value="${secret:NOT_THERE}"),
        {"name": "p", "type": "python", "config": {"code": "pass", "parameters": {"a": ["${secret:NOT_THERE}"]}}},
    ],
)
async def test_an_unknown_secret_is_refused(knowing: Http, name: str, stage):
    refused = await knowing.put(f"/_pipeline/{name}", {"type": "document", "stages": [stage]})
    assert refused.status == 400
    assert "knows no secret [NOT_THERE]" in refused.error["reason"]
    assert refused.error["field"].startswith("stages[0].config.parameters.")


async def test_an_error_does_not_show_it(knowing: Http, name: str):
    stage = native("g", "gsub", field="v", pattern="[${secret:SALT}", replacement="")
    refused = await knowing.put(f"/_pipeline/{name}", {"type": "document", "stages": [stage]})
    assert refused.status == 400, refused.body
    assert b"p3pper" not in refused.body
