"""Checks of the cluster, with the registry's user: version, clock, plugins, rights, the registry index."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from headrace.cli.doctor.finding import Finding, Level, ok
from headrace.client import Client, ClientError, Target, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.settings import Settings

OLDEST = (2, 0)
"""The oldest version of OpenSearch that is tested."""
SKEW_MS = 2_000
"""Milliseconds of difference between clocks that do no harm: periods of templates compare both."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every node, then the cluster as a whole."""
    clients = [Client(target=_target(settings, url)) for url in settings.nodes]
    answered = []
    for client in clients:
        finding = _node(client)
        yield finding
        if finding.level is not Level.ERROR:
            answered.append(client)
    if answered:
        yield from _whole(answered[0], settings)
    for client in clients:
        client.close()


def _target(settings: Settings, url: str) -> Target:
    return Target(
        url=url,
        user=settings.registry_user,
        password=settings.registry_password,
        ca=settings.upstream_ca,
        cert=settings.upstream_cert,
        key=settings.upstream_key,
        verify=settings.upstream_verify,
        timeout=10.0,
    )


def _node(client: Client) -> Finding:
    url = client.target.url
    try:
        told = client.request("GET", "/")["version"]
    except UnreachableError as error:
        return Finding(Level.ERROR, "node", str(error), "check upstream, the firewall, and upstream_ca for https")
    except ClientError as error:
        if error.status in (401, 403):
            remedy = "set registry_user and registry_password to a user with the rights of the registry"
            return Finding(Level.ERROR, "node", f"{url} refuses the registry's user: {error.reason}", remedy)
        return Finding(Level.ERROR, "node", f"{url} answers {error.status}: {error.reason}", "is it an OpenSearch?")
    except (KeyError, TypeError):
        return Finding(Level.ERROR, "node", f"{url} is no OpenSearch", "name the cluster in upstream")
    name, number = told.get("distribution", "elasticsearch"), told["number"]
    if name == "opensearch" and tuple(int(part) for part in number.split(".")[:2]) < OLDEST:
        return Finding(
            Level.WARNING, "node", f"{url} is {name} {number}", "upgrade it: versions before 2.0 are not tested"
        )
    return ok("node", f"{url} is {name} {number}")


def _whole(client: Client, settings: Settings) -> Iterator[Finding]:
    yield from _asked("clock", lambda: _clock(client))
    yield from _asked("registry index", lambda: _registry(client, settings))
    yield from _asked("plugins", lambda: _plugins(client, settings))


def _asked(check: str, ask: Any) -> Iterator[Finding]:
    """The findings of a check; one of level unknown where the cluster does not answer it."""
    try:
        yield from ask()
    except (ClientError, UnreachableError) as error:
        yield Finding(Level.UNKNOWN, check, str(error), "give the registry's user the right cluster:monitor/*")


def _clock(client: Client) -> Iterator[Finding]:
    before = time.time()
    nodes = client.request("GET", "/_nodes/stats/os")["nodes"]
    middle = (before + time.time()) / 2 * 1000
    for node in nodes.values():
        skew = abs(node["timestamp"] - middle)
        if skew > SKEW_MS:
            found = f"node {node.get('name')} is {skew / 1000:.0f} s away from this host"
            yield Finding(Level.WARNING, "clock", found, "synchronise the clocks: templates attach by the time")
            return
    yield ok("clock", "all nodes agree with this host")


def _registry(client: Client, settings: Settings) -> Iterator[Finding]:
    name = settings.registry_index
    try:
        found = client.request("GET", f"/{name}/_settings", params={"expand_wildcards": "all"})
    except ClientError as error:
        if error.status == 404:
            yield ok("registry index", f"{name} does not exist yet: the first change creates it")
            return
        raise
    index = next(iter(found.values()))["settings"]["index"]
    if index.get("hidden") != "true":
        remedy = f'PUT /{name}/_settings {{"index.hidden": true}}'
        yield Finding(Level.WARNING, "registry index", f"{name} is not hidden: wildcards reach it", remedy)
    health = client.request("GET", f"/_cluster/health/{name}")
    if health["status"] == "red":
        yield Finding(
            Level.ERROR, "registry index", f"{name} is red", "restore its shards: proxies run on their copies"
        )
    elif health["number_of_data_nodes"] > 1 and not _replicated(index):
        remedy = f'PUT /{name}/_settings {{"index.auto_expand_replicas": "0-1"}}'
        yield Finding(Level.WARNING, "registry index", f"{name} has no replica: one node's loss stops changes", remedy)
    else:
        yield ok("registry index", f"{name} is {health['status']}")


def _replicated(index: dict[str, Any]) -> bool:
    return bool(index.get("number_of_replicas", "0") != "0" or index.get("auto_expand_replicas", "false") != "false")


def _plugins(client: Client, settings: Settings) -> Iterator[Finding]:
    names = {row["component"] for row in client.request("GET", "/_cat/plugins", params={"format": "json"})}
    if "opensearch-security" in names and not settings.registry_user:
        remedy = "set registry_user and registry_password"
        yield Finding(Level.ERROR, "security plugin", "is there, and the registry has no user", remedy)
    elif "opensearch-security" in names:
        yield from _rights(client, settings)
    else:
        remedy = "let clients reach the proxy alone: whoever reaches a node passes by every final pipeline"
        yield Finding(Level.WARNING, "security plugin", "is not there: the nodes answer everybody", remedy)
    if "opensearch-sql" in names:
        yield ok("SQL and PPL", "are there; the proxy refuses them where a pipeline would have to run")


def _rights(client: Client, settings: Settings) -> Iterator[Finding]:
    """Whether the registry's user may read its index."""
    body: dict[str, Any] = {"query": {"match_none": {}}}
    try:
        client.request("GET", f"/{settings.registry_index}/_search", body=body, params={"ignore_unavailable": True})
    except ClientError as error:
        remedy = f"give the user {settings.registry_user} all rights on {settings.registry_index}"
        yield Finding(Level.ERROR, "rights", f"the registry's user may not read its index: {error.reason}", remedy)
        return
    yield ok("rights", f"{settings.registry_user} reads {settings.registry_index}")
