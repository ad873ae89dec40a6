"""The Helm chart and the plain manifests: rendered over many values, valid for Kubernetes, with settings that exist."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from headrace.cli.demo.download import cache_folder
from headrace.settings import Sources
from tests.conftest import ROOT

CHART = ROOT / "deploy/helm/headrace"
MANIFESTS = ROOT / "deploy/kubernetes/headrace.yaml"
HELM = "helm.sh/helm/v4/cmd/helm@v4.3.2"
KUBERNETES = "1.31"
SECRET, TLS = {"secretName": "s"}, {"tls": {"secretName": "t", "clientCa": "ca.crt"}}
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "secrets": SECRET,
    "tls": {**SECRET, "tls": {"secretName": "t"}},
    "mtls": {**SECRET, **TLS},
    "upstream-tls": {"upstream": "https://a:9200,https://b:9200", "upstreamTls": {"secretName": "u"}},
    "upstream-mtls": {"upstream": "https://a:9200", "upstreamTls": {"secretName": "u", "clientCertificate": True}},
    "autoscaling": {"autoscaling": {"enabled": True, "maxReplicas": 5}},
    "network": {
        "networkPolicy": {"enabled": True, "clients": [{"namespaceSelector": {}}], "clusterPorts": [9200, 9201]}
    },
    "monitor": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "alerts": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}},
    "settings": {"settings": {"workers": 4, "elasticsearch_compat": True, "max_body": "10mb", "metrics_listen": ""}},
    "apply": {
        **SECRET,
        "apply": {"enabled": True, "configMapName": "p", "files": ["headrace.toml", "pipelines/a.yaml"]},
    },
    "bare": {
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
        "topologySpreadConstraints": [],
        "replicas": 1,
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podLabels": {"team": "search"},
        "imagePullSecrets": [{"name": "r"}],
    },
}
OTHERS = {"ServiceMonitor", "PrometheusRule"}
"""Kinds that Kubernetes itself does not have."""


@pytest.fixture(scope="module")
def helm() -> str:
    """The program, compiled once per machine where it is not installed."""
    if installed := shutil.which("helm"):
        return installed
    program = cache_folder() / "bin" / "helm"
    if not program.is_file():
        if shutil.which("go") is None:
            pytest.skip("neither helm nor Go is installed")
        environment = {"GOBIN": str(program.parent), "GOFLAGS": "-trimpath"}
        subprocess.run(["env", *(f"{k}={v}" for k, v in environment.items()), "go", "install", HELM], check=True)
    return str(program)


def rendered(helm: str, values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    command = [helm, "template", "headrace", str(CHART), "--namespace", "search", "--values", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", VALUES)
def test_the_chart_is_valid_and_its_settings_exist(helm: str, tmp_path: Path, name: str):
    documents = rendered(helm, VALUES[name], tmp_path)
    kinds = {document["kind"]: document for document in documents}
    for document in documents:
        if document["kind"] not in OTHERS:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
    settings = tmp_path / "headrace.toml"
    text = kinds["ConfigMap"]["data"]["headrace.toml"]
    settings.write_text(text.replace("/etc/headrace/secrets", str(tmp_path / "secrets")))
    (tmp_path / "secrets").mkdir()
    tomllib.loads(settings.read_text())
    loaded = Sources(settings, {}, {}).load()
    assert loaded.warnings == []
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for file in (loaded.settings.tls_cert, loaded.settings.upstream_ca, loaded.settings.state_dir):
        assert not file or any(file.startswith(mount) for mount in mounts), file
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    wait = loaded.settings.seconds("drain_delay") + loaded.settings.seconds("shutdown_grace")
    assert pod["terminationGracePeriodSeconds"] > wait


def test_alerts_and_dashboards_are_those_of_the_folder(helm: str, tmp_path: Path):
    values = {"prometheusRule": {"enabled": True, "docsUrl": "https://a/b/"}, "dashboards": {"enabled": True}}
    documents = rendered(helm, values, tmp_path)
    (rule,) = (document for document in documents if document["kind"] == "PrometheusRule")
    text = (ROOT / "deploy/observability/rules.yaml").read_text()
    assert rule["spec"] == yaml.safe_load(text.replace("docs/howto", "https://a/b/docs/howto"))
    (found,) = (document for document in documents if document["metadata"]["name"].endswith("-dashboards"))
    kubernetes_validate.validate(found, KUBERNETES, strict=True)
    files = sorted((ROOT / "deploy/observability/dashboards").glob("*.json"))
    assert {name: json.loads(text) for name, text in found["data"].items()} == {
        f"headrace-{path.name}": json.loads(path.read_text()) for path in files
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prometheusRule": {"docsUrl": "a b"}}, "docsUrl"),
        ({"upstrem": "http://a:1"}, "upstrem"),
        ({"replicas": "two"}, "replicas"),
        ({"settings": {"admin_token": "x"}}, "admin_token"),
        ({"apply": {"enabled": True}}, "configMapName"),
        ({**TLS, "settings": {"metrics_listen": ""}}, "metrics_listen"),
    ],
)
def test_values_that_cannot_be(helm: str, tmp_path: Path, values: dict[str, Any], words: str):
    (tmp_path / "v.yaml").write_text(yaml.safe_dump(values))
    command = [helm, "template", "headrace", str(CHART), "--values", str(tmp_path / "v.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_plain_manifests_are_those_of_the_chart(helm: str):
    command = [helm, "template", "headrace", str(CHART), "--namespace", "headrace", "--values"]
    done = subprocess.run(
        [*command, str(MANIFESTS.with_name("values.yaml"))], capture_output=True, text=True, check=True
    )
    assert done.stdout == MANIFESTS.read_text(), f"write it anew: {' '.join(command[1:])}"
    listed = yaml.safe_load(MANIFESTS.with_name("kustomization.yaml").read_text())
    assert listed["resources"] == [MANIFESTS.name]
