"""Runs the YAML REST suite that Elasticsearch 7.10.2 published under the Apache licence, against any URL.

A third party's idea of what a cluster answers: about a thousand steps-and-expectations tests. Which of them pass on an
OpenSearch 3.x node does not matter here; that the same ones pass through the proxy does. The jar comes from Maven Central
(`org.elasticsearch:rest-api-spec:7.10.2`) into the cache folder.
"""

from __future__ import annotations

import json
import random
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
import yaml

from devnode.fetch import artifact
from headrace.cli.demo.download import cache_folder
from tests.support import media

if TYPE_CHECKING:
    from pathlib import Path

ARTIFACT = "org.elasticsearch:rest-api-spec:7.10.2:jar"
FEATURES = {
    "contains",
    "headers",
    "stash_in_key",
    "stash_in_path",
    "stash_path_replacement",
    "warnings",
    "allowed_warnings",
}
CATCH = {
    "bad_request": {400},
    "unauthorized": {401},
    "forbidden": {403},
    "missing": {404},
    "request_timeout": {408},
    "conflict": {409},
    "unavailable": {503},
}


LEFT_BEHIND = {
    "": "/*",
    "data_stream": "/_data_stream/*",
    "put_template": "/_template/*",
    "put_index_template": "/_index_template/*",
    "component_template": "/_component_template/*",
    "ingest": "/_ingest/pipeline/*",
    "snapshot": "/_snapshot/*",
}


class Failed(Exception):
    """A step that did not hold."""


class Skipped(Exception):
    """A test that asks for something that this runner or a 3.x node does not have."""


def fetch() -> Path:
    """The unpacked suite."""
    folder = cache_folder() / "yaml-suite-7.10.2"
    if not folder.is_dir():
        with zipfile.ZipFile(artifact(ARTIFACT, "rest-api-spec-7.10.2*.jar")) as jar:
            names = [n for n in jar.namelist() if n.startswith("rest-api-spec/")]
            jar.extractall(folder.with_suffix(".new"), names)
        (folder.with_suffix(".new") / "rest-api-spec").rename(folder)
    return folder


@dataclass
class Case:
    """One test: where it comes from, and its steps with those of its file's setup and teardown."""

    name: str
    setup: list[Any]
    steps: list[Any]
    teardown: list[Any]


def cases(folder: Path, chosen: re.Pattern[str]) -> list[Case]:
    """The tests whose names match."""
    found = []
    for path in sorted((folder / "test").rglob("*.yml")):
        stem = str(path.relative_to(folder / "test").with_suffix(""))
        if not chosen.search(stem):
            continue
        parts: dict[str, list[Any]] = {}
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            for name, steps in (document or {}).items():
                parts[name] = steps or []
        setup, teardown = parts.pop("setup", []), parts.pop("teardown", [])
        found += [Case(f"{stem}: {name}", setup, steps, teardown) for name, steps in parts.items()]
    return found


@dataclass
class Suite:
    """Runs cases against `url`; `clean` is the node itself, so that cleaning never depends on what is tested."""

    url: str
    clean: str
    folder: Path
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30))
    apis: dict[str, Any] = field(default_factory=dict)
    seed: str = ""
    """Where it is given, bodies are of a media type that is drawn by it, as OpenSearch's own client does."""

    def run(self, case: Case) -> str:
        """`passed`, `skipped`, or `failed: why`."""
        run = _Run(self, random.Random(f"{self.seed} {case.name}") if self.seed else None)
        try:
            for step in case.setup + case.steps:
                run.step(step)
        except Skipped:
            return "skipped"
        except Failed as why:
            return f"failed: {why}"
        finally:
            for step in case.teardown:
                try:
                    run.step(step)
                except (Failed, Skipped):
                    break
            self.wipe(case)
        return "passed"

    def wipe(self, case: Case) -> None:
        """Takes everything away that a test may have left; asks only for kinds of things that the test names."""
        named = str(case)
        for word, target in LEFT_BEHIND.items():
            if word in named:
                self.http.request("DELETE", self.clean + target)
        if "put_settings" in named:
            body = json.dumps({"persistent": {"*": None}, "transient": {"*": None}}).encode()
            headers = {"Content-Type": "application/json"}
            self.http.request("PUT", self.clean + "/_cluster/settings", body=body, headers=headers)

    def api(self, name: str) -> dict[str, Any]:
        if name not in self.apis:
            path = self.folder / "api" / f"{name}.json"
            if not path.is_file():
                raise Skipped(name)
            self.apis[name] = json.loads(path.read_text())[name]
        found: dict[str, Any] = self.apis[name]
        return found


class _Run:
    """One case on its way: the last answer, and what was set aside."""

    def __init__(self, suite: Suite, dice: random.Random | None) -> None:
        self.suite = suite
        self.dice = dice
        self.answer: Any = None
        self.stash: dict[str, Any] = {}

    def step(self, step: dict[str, Any]) -> None:
        ((kind, argument),) = step.items()
        handler = getattr(self, f"do_{kind}", None)
        if handler is None:
            raise Skipped(kind)
        handler(argument)

    def do_skip(self, argument: dict[str, Any]) -> None:
        features = argument.get("features", [])
        wanted = {features} if isinstance(features, str) else set(features)
        if wanted - FEATURES or argument.get("version", "").strip() == "all":
            raise Skipped

    def do_do(self, argument: dict[str, Any]) -> None:
        argument = dict(argument)
        catch = argument.pop("catch", None)
        headers = {str(k): str(v) for k, v in argument.pop("headers", {}).items()}
        for ignored in ("warnings", "allowed_warnings", "node_selector"):
            argument.pop(ignored, None)
        ((api, parameters),) = argument.items()
        status, self.answer = self.call(api, self.filled(parameters or {}), headers)
        if catch is None:
            if status >= 400 and not (status == 404 and self.answer in ("", False)):
                raise Failed(f"{api}: {status} {str(self.answer)[:300]}")
        elif catch.startswith("/"):
            if not re.search(catch.strip("/"), json.dumps(self.answer), re.VERBOSE):
                raise Failed(f"{api}: {status}, {catch} is not in {str(self.answer)[:300]}")
        elif catch == "param":
            raise Skipped
        elif (status < 400) if catch == "request" else status not in CATCH.get(catch, {status}):
            raise Failed(f"{api}: expected {catch}, got {status}")

    def call(self, api: str, parameters: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        spec = self.suite.api(api)
        body = parameters.pop("body", None)
        ignore = parameters.pop("ignore", [])
        fitting = [
            p for p in spec["url"]["paths"] if set(p.get("parts", {})) <= set(parameters) and "deprecated" not in p
        ]
        if not fitting:
            raise Skipped(api)
        path = max(fitting, key=lambda p: len(p.get("parts", {})))
        target = path["path"]
        for part in path.get("parts", {}):
            target = target.replace(f"{{{part}}}", quote(self.text(parameters.pop(part)), safe=",*"))
        methods = path["methods"]
        method = next((m for m in ("POST", "PUT") if m in methods), methods[0]) if body is not None else methods[0]
        query = urlencode({k: self.text(v) for k, v in parameters.items()})
        data, kind = self.encoded(body, ndjson=(spec.get("body") or {}).get("serialize") == "bulk")
        sent = {"Content-Type": kind, **headers} if data is not None else headers
        url = f"{self.suite.url}{target}{'?' + query if query else ''}"
        got = self.suite.http.request(method, url, body=data, headers=sent)
        status = 200 if got.status in ([ignore] if isinstance(ignore, int) else ignore) else got.status
        if method == "HEAD":
            return status, got.status < 400
        said = got.headers.get("Content-Type", "")
        if got.data and said.startswith(("application/yaml", "application/cbor", "application/smile")):
            return status, media.decoded(got.data, said)
        text = got.data.decode()
        try:
            return status, json.loads(text)
        except json.JSONDecodeError:
            return status, text

    @staticmethod
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return ",".join(map(_Run.text, value)) if isinstance(value, list) else str(value)

    def encoded(self, body: Any, *, ndjson: bool) -> tuple[bytes | None, str]:
        if body is None:
            return None, ""
        if self.dice is not None:
            return self.drawn(body, self.dice, ndjson=ndjson)
        return self.in_json(body, ndjson=ndjson)

    def drawn(self, body: Any, dice: random.Random, *, ndjson: bool) -> tuple[bytes, str]:
        """The body in a media type that is drawn; one that is no JSON as it is."""
        text, said = self.in_json(body, ndjson=ndjson)
        kind = dice.choice(("json", "smile") if ndjson else media.TYPES)
        try:
            lines = [json.loads(line) for line in text.splitlines()] if ndjson else [json.loads(text)]
        except json.JSONDecodeError:
            return text, said
        if kind == "json":
            return text, said
        return media.several(lines, kind) if ndjson else media.encoded(lines[0], kind), f"application/{kind}"

    @staticmethod
    def in_json(body: Any, *, ndjson: bool) -> tuple[bytes, str]:
        if ndjson:
            lines = body if isinstance(body, list) else [body]
            texts = [line.rstrip("\n") if isinstance(line, str) else json.dumps(line) for line in lines]
            return ("\n".join(texts) + "\n").encode(), "application/x-ndjson"
        text = body if isinstance(body, str) else json.dumps(body, default=str)
        return text.encode(), "application/json"

    def filled(self, value: Any) -> Any:
        """`value` with `$name` replaced by what was set aside."""
        if isinstance(value, dict):
            return {self.filled(k): self.filled(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.filled(v) for v in value]
        if isinstance(value, str):
            if value.startswith("$") and value.strip("${}") in self.stash:
                return self.stash[value.strip("${}")]
            return re.sub(r"\$\{(\w+)\}", lambda m: str(self.stash.get(m.group(1), m.group(0))), value)
        return value

    def at(self, path: str) -> Any:
        if path in ("$body", ""):
            return self.answer
        here = self.answer
        for part in re.split(r"(?<!\\)\.", path.removeprefix("$body.")):
            key = self.filled(part.replace("\\.", "."))
            if isinstance(here, list):
                here = here[int(key)] if str(key).isdigit() and int(key) < len(here) else None
            elif isinstance(here, dict):
                here = here.get(str(key))
            else:
                return None
        return here

    def do_set(self, argument: dict[str, str]) -> None:
        for path, name in argument.items():
            self.stash[name] = self.at(path)

    def do_match(self, argument: dict[str, Any]) -> None:
        for path, expected in argument.items():
            wanted, got = self.filled(expected), self.at(path)
            if isinstance(wanted, str) and re.fullmatch(r"\s*/.*/\s*", wanted, re.DOTALL):
                if not re.search(wanted.strip().strip("/"), str(got), re.VERBOSE):
                    raise Failed(f"{path}: {str(got)[:200]} does not match")
            elif wanted != got and not (isinstance(got, float) and float(wanted or 0) == got):
                raise Failed(f"{path}: {str(got)[:200]} is not {str(wanted)[:200]}")

    def do_length(self, argument: dict[str, Any]) -> None:
        for path, expected in argument.items():
            if len(self.at(path) or ()) != expected:
                raise Failed(f"length of {path}")

    def do_is_true(self, path: str) -> None:
        if self.at(path) in (None, False, "", "false", 0):
            raise Failed(f"{path} is not true")

    def do_is_false(self, path: str) -> None:
        if self.at(path) not in (None, False, "", "false", 0):
            raise Failed(f"{path} is not false")

    def _compare(self, argument: dict[str, Any], holds: Any) -> None:
        for path, expected in argument.items():
            got = self.at(path)
            if got is None or not holds(got, self.filled(expected)):
                raise Failed(f"{path}: {got} against {expected}")

    def do_gt(self, argument: dict[str, Any]) -> None:
        self._compare(argument, lambda a, b: a > b)

    def do_gte(self, argument: dict[str, Any]) -> None:
        self._compare(argument, lambda a, b: a >= b)

    def do_lt(self, argument: dict[str, Any]) -> None:
        self._compare(argument, lambda a, b: a < b)

    def do_lte(self, argument: dict[str, Any]) -> None:
        self._compare(argument, lambda a, b: a <= b)

    def do_contains(self, argument: dict[str, Any]) -> None:
        for path, expected in argument.items():
            if self.filled(expected) not in (self.at(path) or []):
                raise Failed(f"{path} does not contain {expected}")
