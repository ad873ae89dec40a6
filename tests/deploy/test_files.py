"""Compose files, Dockerfiles, the systemd unit, and what Prometheus and Grafana read: valid, and of things that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from headrace.protocol.indices import dead_letters
from headrace.settings import Settings, Sources
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
OVERRIDES = [DEPLOY / "docker/security.yml", DEPLOY / "docker/build.yml"]


def services(path: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


def test_the_compose_file_is_whole():
    compose = yaml.safe_load(COMPOSE.read_text())
    assert set(compose["services"]) == {"opensearch", "dashboards", "headrace", "prometheus", "grafana"}
    for name, service in compose["services"].items():
        assert "image" in service, name
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        assert (service.get("profiles") == ["observability"]) == (name in ("prometheus", "grafana"))
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    assert compose["services"]["headrace"]["read_only"] is True


@pytest.mark.parametrize("path", [COMPOSE, *OVERRIDES], ids=lambda path: path.name)
def test_the_settings_of_a_compose_file_exist(path):
    names = services(path).get("headrace", {}).get("environment", {})
    assert {name.removeprefix("HEADRACE_").lower() for name in names} <= set(Settings.__struct_fields__)
    assert set(services(path)) <= set(services(COMPOSE))


@pytest.mark.parametrize("path", [ROOT / "Dockerfile", DEPLOY / "docker/wheels.Dockerfile"], ids=lambda path: path.name)
def test_a_dockerfile_copies_what_exists(path):
    text = path.read_text()
    names = {name.lower() for name in re.findall(r"HEADRACE_(\w+)=", text)}
    assert names <= set(Settings.__struct_fields__)
    stages = set(re.findall(r"^FROM .* AS (\w+)$", text, re.MULTILINE))
    assert set(re.findall(r"--from=(\w+)", text)) <= stages


def test_the_image_runs_as_a_number_and_writes_to_its_state_alone():
    text = (ROOT / "Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert re.search(r"HEADRACE_STATE_DIR=/state\b", text)
    assert "VOLUME /state" in text
    assert "sbom.cdx.json" in text
    assert "org.opencontainers.image.licenses" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_valid_and_hardened(tmp_path):
    unit = (DEPLOY / "systemd/headrace.service").read_text()
    tested = tmp_path / "headrace.service"
    tested.write_text(unit.replace("/usr/bin/headrace", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tested)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tested)], capture_output=True, text=True
    )
    exposure = re.search(r"exposure level for headrace.service: ([\d.]+)", shown.stdout)
    assert exposure is not None, shown.stderr
    assert float(exposure[1]) < 2.5
    assert "LimitAS=infinity" in unit


def test_the_settings_of_the_package_exist(tmp_path):
    text = (DEPLOY / "systemd/headrace.toml").read_text()
    assert set(tomllib.loads(text)) <= set(Settings.__struct_fields__)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "headrace.toml").write_text(text.replace("/etc/headrace/secrets", str(tmp_path / "secrets")))
    settings = Sources(tmp_path / "headrace.toml", {}, {}).load().settings
    unit = (DEPLOY / "systemd/headrace.service").read_text()
    stop = int(re.search(r"TimeoutStopSec=(\d+)", unit)[1])  # type: ignore[index]
    assert stop > settings.seconds("drain_delay") + settings.seconds("shutdown_grace")


def test_prometheus_scrapes_the_address_of_metrics():
    targets = yaml.safe_load((DEPLOY / "observability/prometheus.yml").read_text())["scrape_configs"][0]
    environment = services(COMPOSE)["headrace"]["environment"]
    port = environment["HEADRACE_METRICS_LISTEN"].rpartition(":")[2]
    assert targets["static_configs"][0]["targets"] == [f"headrace:{port}"]


def test_the_files_of_the_stream_of_dead_letters_are_those_of_the_command():
    found = {path.stem: json.loads(path.read_text()) for path in (DEPLOY / "dead-letters").iterdir()}
    assert found == {"index-template": dead_letters.template(), "policy": dead_letters.policy()}
