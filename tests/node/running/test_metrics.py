"""The metrics of a proxy that has run every kind of thing: all that alerts and dashboards ask for has samples."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from headrace.app import Proxy
from tests.conftest import ROOT, Http, native, running_proxy, settings_for, wasm
from tests.support import wat
from tests.support.certificates import Authority

OBSERVABILITY = ROOT / "deploy/observability"
FAIL = native("f", "fail", message="no") | {"if": "has(doc.bad)"}


def asked_for() -> set[str]:
    """The names of series in alerts and dashboards."""
    rules = yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())["groups"]
    texts = [rule["expr"] for group in rules for rule in group["rules"]]
    for path in (OBSERVABILITY / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        texts += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        texts += [str(variable.get("definition", "")) for variable in dashboard["templating"]["list"]]
    return set(re.findall(r"\b(?:headrace|process|python)_\w+", " ".join(texts)))


async def run_everything(http: Http, name: str) -> None:
    """A document, query and result pipeline, a UDF with a limit of fuel, and a document that fails."""
    await http.udf(f"{name}-u", wat.field_udf("(i32.const 1)"), limits={"fuel": 100_000})
    await http.pipeline(name, "document", wasm("u", f"{name}-u"), FAIL)
    await http.pipeline(f"{name}-q", "query", native("q", "filter_query", query={"match_all": {}}))
    await http.pipeline(f"{name}-r", "result", native("r", "truncate_hits", target_size=1))
    await http.index(name, document=name, query=f"{name}-q", result=f"{name}-r")
    assert (await http.put(f"/{name}/_doc/1?refresh=true", {"a": 1})).status == 201
    assert (await http.put(f"/{name}/_doc/2", {"bad": 1})).status == 400
    assert (await http.get(f"/{name}/_search")).status == 200
    await http.get("/_cluster/health")
    await open_breaker(http, name)
    stages = [wasm("u", f"{name}-u"), native("s", "set", field="v", value=2)]
    body = {"type": "document", "version": "2", "stages": stages}
    assert (await http.put(f"/_pipeline/{name}?activate=false", body)).status == 201
    spec = {"candidate": "2", "mode": "canary", "steps": [{"percent": 100}]}
    assert (await http.put(f"/_pipeline/{name}/_rollout", spec)).status == 201


async def open_breaker(http: Http, name: str) -> None:
    """A UDF that traps until its stage does not call it."""
    await http.udf(f"{name}-t", wat.TRAP)
    await http.pipeline(f"{name}-b", "document", wasm("t", f"{name}-t"))
    for _ in range(25):
        assert (await http.put(f"/{name}/_doc/t?pipeline={name}-b", {"a": 1})).status in (400, 429)


async def test_what_alerts_and_dashboards_ask_for_exists(node: str, session, name: str, tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    async with running_proxy(settings_for(node, tmp_path, upstream_ca=str(authority.path)), session) as http:
        await run_everything(http, name)
        answer = await http.get("/_proxy/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    found = {s.name: s for f in text_string_to_metric_families(answer.body.decode()) for s in f.samples}
    seldom = {"headrace_upstream_errors_total"}
    assert asked_for() - found.keys() - seldom == set()
    assert b"# TYPE headrace_upstream_errors counter" in answer.body
    assert len(asked_for()) > 30


async def test_a_type_of_failure_is_counted(through: Http, name: str):
    await run_everything(through, name)
    body = (await through.get("/_proxy/metrics")).body.decode()
    failed = rf'headrace_pipeline_failures_by_type_total{{error="fail_processor_exception",pipeline="{name}",'
    assert re.search(re.escape(failed) + r'type="document",version="1"} 1\.0', body)
    assert re.search(rf'headrace_udf_fuel_limit_points{{udf="{name}-u",version="1"}} 100000\.0', body)
    assert re.search(rf'headrace_udf_memory_peak_bytes{{udf="{name}-u",version="1"}} [1-9]', body)
    history = (await through.get(f"/_proxy/stats/history?pipeline={name}")).json
    errors = [error for minute in history["minutes"] for p in minute["pipelines"].values() for error in p["errors"]]
    assert errors == [{"stage": "f", "type": "fail_processor_exception", "count": 1}]


async def test_a_node_that_is_away_is_down(node: str, session, name: str, tmp_path: Path):
    gone = "http://user:secret@127.0.0.1:1"
    settings = settings_for(f"{node},{gone}", tmp_path, upstream_health_interval="200ms")
    proxy = Proxy(settings)
    await proxy.start()
    try:
        for _ in range(50):
            body = (await Http(proxy.url, session).get("/_proxy/metrics")).body.decode()
            if 'headrace_upstream_node_up{node="127.0.0.1:1"} 0.0' in body:
                break
            await asyncio.sleep(0.1)
    finally:
        await proxy.stop()
    lines = [line for line in body.splitlines() if line.startswith("headrace_upstream_node_up")]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["0.0", "1.0"]
    assert "secret" not in body


async def test_wrong_questions_about_the_history(through: Http):
    for minutes in ("0", "121", "-1", "x", ""):
        refused = await through.get(f"/_proxy/stats/history?minutes={minutes}")
        assert (refused.status, refused.error["field"]) == (400, "minutes"), minutes
    for path in ("stats", "stats/history"):
        refused = await through.get(f"/_proxy/{path}?pipeline={'x' * 1001}")
        assert (refused.status, refused.error["field"]) == (400, "pipeline")
