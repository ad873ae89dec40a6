"""Who may change pipelines: holders of the admin token, whom the cluster says, else loopback listeners; the audit log."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from devnode.node import free_port
from headrace.app import Proxy
from headrace.protocol.headers.credentials import user_of
from headrace.settings import Settings
from tests.conftest import NDJSON, Http, native, running_proxy, settings_for

BODY = {"type": "document", "stages": [native("s", "set", field="x", value=1)]}


async def test_the_admin_token_is_asked_for_and_never_sent_on(node, session, tmp_path, name):
    settings = settings_for(node, tmp_path, admin_token="let-me-in")
    proxy = Proxy(settings)
    await proxy.start()
    try:
        http = Http(proxy.url, session)
        token = {"X-Headrace-Admin-Token": "let-me-in"}
        for headers in ({}, {"X-Headrace-Admin-Token": "wrong"}):
            refused = await http.put(f"/_pipeline/{name}", BODY, headers=headers)
            assert (refused.status, refused.error["type"]) == (403, "security_exception")
            assert "let-me-in" not in refused.body.decode()
        assert (await http.put(f"/_pipeline/{name}", BODY, headers=token)).status == 201
        assert (await http.get(f"/_pipeline/{name}", headers=token)).status == 200
        for target in (f"/_pipeline/{name}", "/_pipeline", "/_udf", "/_pipeline/_stats", "/_proxy/metrics"):
            assert (await http.get(target)).status == 403, target
        assert (await http.get("/_proxy/health/ready")).status == 200
        for method, target in (
            ("DELETE", f"/_pipeline/{name}"),
            ("POST", f"/_pipeline/{name}/_execute"),
            ("POST", f"/_pipeline/{name}/_activate?version=1"),
            ("PUT", f"/_udf/{name}"),
            ("DELETE", f"/_udf/{name}"),
            ("POST", f"/_udf/{name}/_test"),
        ):
            assert (await http(method, target, {})).status == 403, target
        attach = {"settings": {"index.document.default_pipeline": name}}
        assert (await http.put(f"/{name}", attach)).status == 403
        assert (await http.put(f"/{name}", attach, headers=token)).status == 200
        assert (await http.put(f"/{name}-plain", {})).status == 200, "what is the cluster's needs no token of ours"
    finally:
        await proxy.stop()


async def test_without_a_token_only_loopback_takes_changes(node, session, tmp_path, name):
    proxy = Proxy(settings_for(node, tmp_path, listen="0.0.0.0:0"))
    await proxy.start()
    try:
        http = Http(proxy.url.replace("0.0.0.0", "127.0.0.1"), session)
        refused = await http.put(f"/_pipeline/{name}", BODY)
        assert refused.status == 403
        assert "admin_token" in refused.error["reason"]
        assert (await http.get("/_pipeline")).status == 403, "nor shows it them"
    finally:
        await proxy.stop()


async def test_changes_are_audited_refused_ones_too(node, session, tmp_path, name, caplog):
    caplog.set_level("INFO", "headrace.audit")
    async with running_proxy(settings_for(node, tmp_path, admin_token="let-me-in"), session) as http:
        token = {"X-Headrace-Admin-Token": "let-me-in", "X-Opaque-Id": "op-1"}
        basic = {"Authorization": aiohttp.encode_basic_auth("alice", "s3cret")}
        await http.put(f"/_pipeline/{name}", BODY, headers=basic)
        await http.put(f"/_pipeline/{name}", BODY, headers=token | basic)
        await http.put(f"/_pipeline/{name}", {**BODY, "description": "new"}, headers=token)
        await http.put(f"/_udf/{name}", {"language": "python", "source": "def process(d): pass"}, headers=token)
        await http.put(f"/{name}", {"settings": {"index.document.default_pipeline": name}}, headers=token)
        await http.get(f"/_pipeline/{name}", headers=token)
        await http("DELETE", f"/{name}", headers=token)
    lines = [json.loads(r.message) for r in caplog.records if r.name == "headrace.audit"]
    assert [(line["action"].split(" ")[0], line["status"]) for line in lines] == [
        ("PUT", 403), ("PUT", 201), ("PUT", 201), ("PUT", 201), ("PUT", 200),
    ]  # fmt: skip
    assert (lines[0]["user"], lines[0]["source"]) == ("alice", "127.0.0.1")
    assert (lines[1]["version"], lines[1]["before"], lines[1]["x_opaque_id"]) == ("1", "", "op-1")
    assert (lines[2]["version"], lines[2]["before"]) == ("2", "1")
    assert len(lines[1]["sha256"]) == len(lines[3]["sha256"]) == 64
    assert lines[4]["index.document.default_pipeline"] == name
    assert "s3cret" not in caplog.text
    assert "let-me-in" not in caplog.text


async def test_the_audit_log_says_which_version_follows_which_and_what_is_switched_off(node, session, tmp_path, caplog):
    caplog.set_level("INFO", "headrace.audit")
    async with running_proxy(settings_for(node, tmp_path), session) as http:
        for enabled in (True, False):
            await http.put("/_pipeline/audited", {**BODY, "enabled": enabled})
        await http.put("/_pipeline/audited", {**BODY, "description": "new", "enabled": False})
        await http.post("/_pipeline/audited/_activate?version=1")
    lines = [json.loads(r.message) for r in caplog.records if r.name == "headrace.audit"]
    assert [(line["version"], line["before"], line.get("enabled")) for line in lines] == [
        ("1", "", None), ("2", "1", "false"), ("3", "2", None), ("1", "3", "true"),
    ]  # fmt: skip
    facts = {name: lines[3][name] for name in ("action", "status", "name", "type", "after")}
    assert facts == {
        "action": "POST /_pipeline/audited/_activate",
        "status": 200,
        "name": "audited",
        "type": "document",
        "after": "1",
    }


class Plugin:
    """A cluster with the security plugin's answers to permission checks, and nothing else; by user and path."""

    def __init__(self, *, old: bool = False) -> None:
        self.checks: list[tuple[str, str]] = []
        self.old = old

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        user = user_of(request.headers.get("Authorization", ""))
        if self.old and (user or request.path.startswith("/.headrace")):
            if request.path == "/_plugins/_security/authinfo":
                self.checks.append((user, request.path))
                roles = {"admin": ["own_index", "all_access"], "operator": ["pipelines"]}.get(user, ["own_index"])
                return web.json_response({"user_name": user, "backend_roles": ["all_access"], "roles": roles})
            if "perform_permission_check" in request.query:
                reason = f"request [{request.path}] contains unrecognized parameter: [perform_permission_check]"
                return web.json_response({"error": {"type": "x", "reason": reason}, "status": 400}, status=400)
        if request.query.get("perform_permission_check") == "true":
            self.checks.append((user, request.path))
            if not user:
                return web.json_response({}, status=401, headers={"WWW-Authenticate": "Basic"})
            allowed = user == "admin" or (user == "writer" and request.path.startswith("/_ingest/"))
            return web.json_response({"accessAllowed": allowed, "missingPrivileges": [] if allowed else ["a:b/c"]})
        if request.path in ("/_alias", "/mine", "/other"):
            return web.json_response({"mine": {"aliases": {}}, "other": {"aliases": {}}})
        if request.path == "/_data_stream":
            return web.json_response({"data_streams": []})
        if request.path.startswith("/.headrace"):
            return web.json_response({"error": "index_not_found_exception", "status": 404}, status=404)
        return web.json_response({}, status=404)


async def test_the_cluster_says_who_may(session, tmp_path, name):
    plugin = Plugin()
    runner = web.ServerRunner(web.Server(plugin))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy = Proxy(settings_for(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path, listen="0.0.0.0:0"))
    await proxy.start()
    http = Http(proxy.url.replace("0.0.0.0", "127.0.0.1"), session)

    def user(name: str) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth(name, "x")}

    try:
        nobody = await http.put(f"/_pipeline/{name}", BODY)
        assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, "Basic")
        refused = await http.put(f"/_pipeline/{name}", BODY, headers=user("reader"))
        assert (refused.status, "a:b/c" in refused.error["reason"]) == (403, True)
        trial = {"pipeline": BODY, "input": {"a": 1}}
        assert (await http.post("/_pipeline/_execute", trial, headers=user("reader"))).status == 403
        for _ in range(3):
            answer = await http.post("/_pipeline/_execute", trial, headers=user("writer"))
            assert (answer.status, answer.json.get("output")) == (200, {"a": 1, "x": 1}), answer.body
        assert plugin.checks.count(("writer", "/_ingest/pipeline/headrace")) == 1, "a yes is kept"
        attached = await http.put("/_pipeline/_association/m*", {"document": "_none"}, headers=user("writer"))
        assert (attached.status, "right to change its settings" in attached.error["reason"]) == (403, True)
        assert ("writer", "/m*/_settings") in plugin.checks
        sent = {"set": "app", "associations": {"m*": {"document": "_none"}}}
        assert (await http.post("/_registry/_diff", sent, headers=user("reader"))).status == 403
        assert (await http.post("/_registry/_diff", sent, headers=user("writer"))).status == 200
        as_a_set = await http.post("/_registry/_apply", sent, headers=user("writer"))
        assert (as_a_set.status, "right to change its settings" in as_a_set.error["reason"]) == (403, True)
        allowed = await http.put("/_pipeline/_association/m*", {"document": "_none"}, headers=user("admin"))
        assert allowed.status != 403, allowed.body
    finally:
        await proxy.stop()
        await runner.cleanup()


async def test_with_the_plugin_of_opensearch_2_roles_decide(session, tmp_path, name):
    plugin = Plugin(old=True)
    runner = web.ServerRunner(web.Server(plugin))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = settings_for(upstream, tmp_path, listen="0.0.0.0:0", admin_roles="all_access, pipelines")
    trial = {"pipeline": BODY, "input": {"a": 1}}
    try:
        async with running_proxy(settings, session) as http:
            http.base = http.base.replace("0.0.0.0", "127.0.0.1")
            for user, status in (("reader", 403), ("operator", 200), ("admin", 200), ("operator", 200)):
                headers = {"Authorization": aiohttp.encode_basic_auth(user, "x")}
                answer = await http.post("/_pipeline/_execute", trial, headers=headers)
                assert answer.status == status, answer.body
                if status == 403:
                    assert "the role all_access or pipelines" in answer.error["reason"]
            assert plugin.checks.count(("operator", "/_plugins/_security/authinfo")) == 1, "a yes is kept"
            refused = await http.put(
                "/_pipeline/_association/m*",
                {"document": "_none"},
                headers={"Authorization": aiohttp.encode_basic_auth("reader", "x")},
            )
            assert refused.status == 403, refused.body
            assert (await http.post("/_pipeline/_execute", trial)).status == 401
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/{r}/_search", None),
        ("POST", "/_mget", {"docs": [{"_index": "{r}", "_id": "1"}]}),
        ("POST", "/x/_mget", {"docs": [{"_index": "{r}", "_id": "1"}]}),
        ("POST", "/_msearch", '{"index":"{r}"}\n{}\n'),
        ("POST", "/_msearch", '{"index":["x","{e}"]}\n{}\n'),
        ("POST", "/_msearch", '{"index":".head*"}\n{}\n'),
        ("POST", "/_msearch/template", '{"index":"{r}"}\n{"source":"{}"}\n'),
        ("POST", "/_reindex", {"source": {"index": "{r}"}, "dest": {"index": "x"}}),
        ("POST", "/_reindex", {"source": {"index": ["x"]}, "dest": {"index": "{r}"}}),
        ("POST", "/_aliases", {"actions": [{"add": {"index": "{r}", "alias": "mine"}}]}),
        ("POST", "/_aliases", {"actions": [{"remove_index": {"indices": ["{r}"]}}]}),
        ("POST", "/_mtermvectors", {"docs": [{"_index": "{r}", "_id": "1"}]}),
        ("GET", "/%3C{r}%3E/_search", None),
        ("GET", "/%3C.head%7Bnow%7B'race'%7D%7D%3E/_count", None),
        ("POST", "/_mget", {"docs": [{"_index": "<{r}>", "_id": "1"}]}),
        ("POST", "/_msearch", """{"index":"<.head{now{'race'}}>"}\n{}\n"""),
    ],
)
async def test_the_registry_index_is_refused_by_name(
    through: Http, settings: Settings, method: str, target: str, body: Any
):
    registry = settings.registry_index
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    escaped = "".join(f"\\u{ord(c):04x}" for c in registry)
    text = None if text is None else text.replace("{r}", registry).replace("{e}", escaped)
    headers = NDJSON if "_msearch" in target else None
    answer = await through(method, target.replace("{r}", registry), text, headers=headers)
    assert (answer.status, answer.error["type"]) == (403, "security_exception"), answer.body


@pytest.mark.parametrize(
    "target", ["/.*/_search", "/*/_search?expand_wildcards=all", "/_all/_count?expand_wildcards=all"]
)
async def test_a_wildcard_passes_the_registry_index_by(through: Http, settings: Settings, name: str, target: str):
    await through.pipeline(name, "query", native("f", "filter_query", query={"match_all": {}}))
    answer = await through.get(target)
    assert answer.status == 200, answer.body
    assert settings.registry_index not in answer.body.decode()


async def test_a_page_of_another_site_cannot_use_the_registry(through: Http, name: str):
    body = {"type": "query", "stages": [native("f", "filter_query", query={"match_all": {}})]}
    own = through.base.removeprefix("http://")
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Origin": "http://localhost"},
    ):
        for method, target, sent in (
            ("PUT", f"/_pipeline/{name}", body),
            ("POST", f"/_pipeline/{name}/_activate?version=1", None),
            ("GET", "/_pipeline", None),
            ("GET", "/_proxy/metrics", None),
            ("GET", "/_proxy/stats", None),
            ("GET", "/_proxy/stats/history", None),
            ("DELETE", f"/_pipeline/{name}", None),
        ):
            refused = await through(method, target, sent, headers=headers)
            assert (refused.status, refused.error["type"]) == (403, "security_exception"), (method, target, headers)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert (await through.put(f"/_pipeline/{name}", body, headers={"Content-Type": kind})).status == 406
    assert (await through.put(f"/_pipeline/{name}", body, headers={"Origin": f"http://{own}"})).status == 201


async def test_metrics_have_a_listener_of_their_own(node, session, tmp_path):
    port = free_port()
    settings = settings_for(node, tmp_path, admin_token="let-me-in", metrics_listen=f"127.0.0.1:{port}")
    async with running_proxy(settings, session) as http:
        assert (await http.get("/_proxy/metrics")).status == 403
        metrics = Http(f"http://127.0.0.1:{port}", session)
        assert b"headrace_" in (await metrics.get("/metrics")).body
        assert (await metrics.get("/_proxy/health/ready")).json["registry"] in ("current", "none")
        assert (await metrics.get("/_proxy/health/live")).status == 200
        assert (await metrics.get("/_pipeline")).status == 404
        assert (await metrics.get("/_search")).status == 404


async def test_reasons_of_failures_are_for_administrators(node, session, tmp_path, name):
    token = {"X-Headrace-Admin-Token": "let-me-in"}
    async with running_proxy(settings_for(node, tmp_path, admin_token="let-me-in"), session) as http:
        http.headers = token
        await http.pipeline(name, "document", native("c", "convert", field="n", type="integer"))
        answer = await http.put(f"/{name}/_doc/1?pipeline={name}", {"n": "a secret value"})
        assert answer.status == 400
        for target in (f"/_pipeline/{name}/_stats", "/_pipeline/_stats"):
            assert b"a secret value" in (await http.get(target)).body


async def test_date_math_spells_the_registry_index_no_more_than_its_name(
    through: Http, direct: Http, settings: Settings, name: str
):
    await through.pipeline(name, "document", native("set", "set", field="a", value=1))
    registry = settings.registry_index
    half = len(registry) // 2
    for spelt in (f"<{registry}>", f"<{registry[:half]}{{now{{'{registry[half:]}'}}}}>"):
        # The node itself reads it as that name.
        assert (await direct.get(f"/{quote(spelt)}/_count")).json["count"] > 0
        assert (await through.get(f"/{quote(spelt)}/_count")).status == 403
        answer = await through.bulk({"index": {"_index": spelt, "_id": "mine"}}, {"a": 1})
        assert answer.json["items"][0]["index"]["error"]["type"] == "security_exception"
    assert (await through.put(f"/{quote(f'<{name}-{{now/d}}>', safe='')}/_doc/1", {"a": 1})).status == 201


async def test_no_stage_sends_a_document_to_the_registry_index(through: Http, settings: Settings, name: str):
    registry = settings.registry_index
    half = len(registry) // 2
    spellings = (registry, f"<{registry}>", f"<{registry[:half]}{{now{{'{registry[half:]}'}}}}>")
    for n, spelt in enumerate(spellings):
        await through.pipeline(f"{name}-{n}", "document", native("move", "set", field="_index", value=spelt))
        answer = await through.bulk({"index": {"_index": name, "pipeline": f"{name}-{n}"}}, {"a": 1})
        item = answer.json["items"][0]["index"]
        assert (item["status"], item["error"]["type"]) == (403, "security_exception"), spelt
        written = await through.put(f"/{name}/_doc/1?pipeline={name}-{n}", {"a": 1})
        assert (written.status, written.error["type"]) == (403, "security_exception"), spelt
    await through.pipeline(name, "document", native("move", "set", field="_index", value=f"<{name}-{{now/d}}>"))
    assert (await through.put(f"/{name}/_doc/1?pipeline={name}", {"a": 1})).status == 201


async def test_what_only_mentions_the_registry_index_passes(through: Http, settings: Settings, name: str):
    await through.put(f"/{name}/_doc/1?refresh=true", {"about": settings.registry_index})
    lines = f'{{"index":"{name}"}}\n{{"query":{{"match":{{"about":"{settings.registry_index}"}}}}}}\n'
    found = await through.post("/_msearch", lines, headers=NDJSON)
    assert found.json["responses"][0]["hits"]["total"]["value"] == 1
    assert (await through.post("/_mget", {"docs": [{"_index": name, "_id": "1"}]})).json["docs"][0]["found"] is True


@pytest.mark.parametrize("target", ["/_mget", "/_aliases", "/_reindex", "/_mtermvectors"])
@pytest.mark.parametrize(
    "body", [{"docs": 5, "actions": 5, "source": 5, "x": "*"}, ["*"], {"docs": [5, "*"], "actions": ["*"]}]
)
async def test_bodies_of_another_shape_are_the_clusters_error(through: Http, target: str, body: Any):
    assert (await through.post(target, body)).status == 400
