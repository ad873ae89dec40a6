"""Checks of running proxies: readiness, faults of what is stored, attachments, secrets that differ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from headrace.cli.doctor.cluster import SKEW_MS
from headrace.cli.doctor.finding import Finding, Level, ok
from headrace.cli.target import PIPELINE_TYPES
from headrace.client import ClientError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from headrace.client import Client

_SHARED = {
    "cursor_secret": "set the same in all proxies: each refuses the cursors of the others",
    "registry_secret": "set the same in all proxies: each ignores what the others store",
}


def examine(clients: Sequence[Client]) -> Iterator[Finding]:
    """Each proxy for itself, then all of them together."""
    told: list[dict[str, Any]] = []
    for client in clients:
        reachable = yield from _readiness(client)
        if reachable:
            info = yield from _info(client)
            told += [info] if info else []
            yield from _stored(client)
            yield from _attached(client)
            yield from _shadowed(client)
    yield from _compared(told)


def _readiness(client: Client) -> Generator[Finding, None, bool]:
    url = client.target.url
    try:
        answer = client.request("GET", "/_proxy/health/ready")
    except UnreachableError as error:
        yield Finding(Level.ERROR, "proxy", str(error), "start it with `headrace serve`, or name it with --url")
        return False
    except ClientError as error:
        answer = error.body if isinstance(error.body, dict) else {}
    if "registry" not in answer:
        yield Finding(Level.ERROR, "proxy", f"{url} is no Headrace", "name the address of the proxy with --url")
        return False
    if answer.get("status") != "ready":
        remedy = "the log of the proxy has the reason; `headrace doctor --config FILE` examines the cluster from there"
        shown = ", ".join(f"{key} {value}" for key, value in answer.items())
        yield Finding(Level.ERROR, "proxy", f"{url}: {shown}", remedy)
        return bool(answer.get("cluster") == "reachable")
    yield from _registry(url, answer)
    return True


def _registry(url: str, answer: dict[str, Any]) -> Iterator[Finding]:
    if answer["registry"] == "cached":
        remedy = "the registry index cannot be read: the cluster or the rights of registry_user"
        yield Finding(Level.WARNING, "proxy", f"{url} runs on its copy of the registry", remedy)
    elif answer.get("registry_rival"):
        remedy = "give all proxies of the cluster the same registry_secret"
        yield Finding(
            Level.ERROR, "proxy", f"{url}: another proxy signs with the key {answer['registry_rival']}", remedy
        )
    elif answer.get("registry_ignored"):
        remedy = "find out who writes to the registry index: only proxies should have the right"
        found = f"{url} ignores {answer['registry_ignored']} documents of the registry without a valid signature"
        yield Finding(Level.WARNING, "proxy", found, remedy)
    else:
        yield ok("proxy", f"{url} is ready, its registry is {answer['registry']}")


def _info(client: Client) -> Generator[Finding, None, dict[str, Any] | None]:
    url = client.target.url
    try:
        before = time.time()
        info: dict[str, Any] = client.request("GET", "/_proxy/info")
        middle = (before + time.time()) / 2 * 1000
    except ClientError as error:
        remedy = "set HEADRACE_ADMIN_TOKEN to the admin token of the proxy" if error.status in (401, 403) else ""
        yield Finding(Level.UNKNOWN, "proxy settings", f"{url}: {error.reason}", remedy or "see the log of the proxy")
        return None
    if abs(info["now_ms"] - middle) > SKEW_MS:
        found = f"{url} is {abs(info['now_ms'] - middle) / 1000:.0f} s away from this host"
        yield Finding(Level.WARNING, "clock", found, "synchronise the clocks")
    yield ok("version", f"{url} is headrace {info['version']}, up for {info['uptime_seconds']} s")
    return info


def _stored(client: Client) -> Iterator[Finding]:
    try:
        pipelines = client.pipelines.list()["pipelines"]
    except ClientError as error:
        yield Finding(Level.UNKNOWN, "pipelines", error.reason, "set HEADRACE_ADMIN_TOKEN")
        return
    faulty = [pipeline for pipeline in pipelines if "fault" in pipeline]
    for pipeline in faulty:
        found = f"{pipeline['name']}@{pipeline['version']} cannot run: {pipeline['fault']}"
        yield Finding(Level.ERROR, "pipelines", found, "store what it needs, or another version of it")
    if not faulty:
        yield ok("pipelines", f"{len(pipelines)}, all of them can run")


def _attached(client: Client) -> Iterator[Finding]:
    """Slots of patterns that name no pipeline."""
    try:
        associations = client.associations.list()["associations"]
        pipelines = client.pipelines.list()["pipelines"]
    except ClientError:
        return
    names = {(pipeline["type"], pipeline["name"]): pipeline["enabled"] for pipeline in pipelines}
    yield from _disabled_finals(associations, names)
    missing = [
        (association["pattern"], kind, name)
        for association in associations
        for kind in PIPELINE_TYPES
        for name in _names(association.get(kind))
        if name != "_none" and (kind, name) not in names
    ]
    for pattern, kind, name in missing:
        remedy = f"store it, or `headrace detach '{pattern}'`"
        yield Finding(
            Level.ERROR, "attachments", f"{pattern} names the {kind} pipeline {name}, which is missing", remedy
        )
    if not missing:
        yield ok("attachments", f"{len(associations)} patterns, all of their pipelines exist")


def _disabled_finals(associations: list[dict[str, Any]], enabled: dict[tuple[str, str], bool]) -> Iterator[Finding]:
    """Final pipelines of patterns that are disabled: they protect nothing."""
    for association in associations:
        for kind in PIPELINE_TYPES:
            slots = association.get(kind)
            name = slots.get("final_pipeline") if isinstance(slots, dict) else None
            if enabled.get((kind, name or "")) is False:
                found = f"the final {kind} pipeline {name} of {association['pattern']} is disabled"
                yield Finding(Level.WARNING, "attachments", found, f"`headrace pipeline enable {name}`")


def _shadowed(client: Client) -> Iterator[Finding]:
    """Index templates that attach pipelines, and a template of higher priority that takes their place."""
    try:
        templates = client.request("GET", "/_index_template")["index_templates"]
    except ClientError:
        return
    for template in templates:
        body = template["index_template"]
        if not _attaches(body):
            continue
        for rival in templates:
            above = rival["index_template"]
            higher = above.get("priority", 0) > body.get("priority", 0)
            if higher and not _attaches(above) and _overlap(body["index_patterns"], above["index_patterns"]):
                found = f"the template {template['name']} attaches pipelines, and {rival['name']} comes before it"
                remedy = f"attach them in {rival['name']}, too, or by a pattern: `headrace attach`"
                yield Finding(Level.WARNING, "templates", found, remedy)


def _attaches(template: dict[str, Any]) -> bool:
    index = template.get("template", {}).get("settings", {}).get("index", {})
    return any(kind in index for kind in PIPELINE_TYPES)


def _overlap(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether a name can match a pattern of each side, judged by what stands before the first `*`."""
    heads = [(first.partition("*")[0], second.partition("*")[0]) for first in left for second in right]
    return any(a.startswith(b) or b.startswith(a) for a, b in heads)


def _names(slots: Any) -> list[str]:
    if isinstance(slots, str):
        return [slots]
    return [name for name in (slots or {}).values() if isinstance(name, str)]


def _compared(told: list[dict[str, Any]]) -> Iterator[Finding]:
    """What has to be the same in all proxies."""
    if len(told) < 2:
        return
    for name in told[0]["fingerprints"]:
        found = {info["fingerprints"][name] for info in told}
        if len(found) > 1 or found == {""}:
            shown = "is set in no proxy" if found == {""} else "differs between the proxies"
            yield Finding(Level.ERROR, name, shown, _SHARED[name])
        else:
            yield ok(name, "is the same in all proxies")
    versions = {info["version"] for info in told}
    if len(versions) > 1:
        found_versions = ", ".join(sorted(versions))
        yield Finding(Level.WARNING, "version", f"the proxies are {found_versions}", "finish the upgrade")
