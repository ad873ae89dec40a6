"""Alerts and dashboards: valid, tested by promtool, explained by a page, and the same in every way of deploying."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docs.test_form import anchors

FOLDER = ROOT / "deploy/observability"
CHART = ROOT / "deploy/helm/headrace"
RULES, RULE_TESTS = FOLDER / "rules.yaml", FOLDER / "rules.test.yaml"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
PAGE = ROOT / "docs/howto/respond-to-alerts.md"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def check(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def expressions(path: Path) -> list[str]:
    """The queries of a dashboard with values in place of its variables."""
    found = [target["expr"] for panel in panels(path) for target in panel["targets"]]
    return [re.sub(r"\$\w+", ".*", text.replace("$__rate_interval", "5m")) for text in found]


@promtool
def test_each_alert_fires_and_is_quiet():
    check("check", "rules", RULES)
    check("test", "rules", RULE_TESTS)
    cases = [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    for alert in ALERTS:
        expected = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert["alert"]]
        assert {True, False} <= set(expected), alert["alert"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_is_and_what_to_do(alert: dict[str, Any]):
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert ROOT / path == PAGE
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(PAGE)


def test_the_page_has_no_alert_that_is_not_there():
    assert re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE) == [alert["alert"] for alert in ALERTS]


@promtool
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_queries_of_a_dashboard_can_be_read(path: Path, tmp_path: Path):
    rules = [{"record": f"r:{i}", "expr": text} for i, text in enumerate(expressions(path))]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    check("check", "rules", "--lint=none", tmp_path / "rules.yaml")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_panel_says_what_it_shows(path: Path):
    dashboard = json.loads(path.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    ids = [panel["id"] for panel in panels(path)]
    assert len(set(ids)) == len(ids)
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
    taken = [
        (x, y)
        for p in (panel["gridPos"] for panel in panels(path))
        for x in range(p["x"], p["x"] + p["w"])
        for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie on each other"


def test_there_are_three_dashboards_of_different_names():
    found = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert {dashboard["uid"] for dashboard in found} == {"headrace-overview", "headrace-pipeline", "headrace-udf"}
    assert len({dashboard["title"] for dashboard in found}) == 3


def test_the_chart_and_the_compose_file_have_the_same_files():
    assert (CHART / "files/rules.yaml").resolve() == RULES
    assert (CHART / "files/dashboards").resolve() == FOLDER / "dashboards"
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]["volumes"]
    loaded = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"]
    assert loaded == ["rules.yaml"]
    assert "./deploy/observability/rules.yaml:/etc/prometheus/rules.yaml:ro" in volumes
