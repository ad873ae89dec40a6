"""The work of `headrace dev` at each change: which cases a change concerns, and the set in a namespace of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.client.target import FILE
from headrace.project.files import ASSOCIATIONS, TESTS
from headrace_pipelines.definition import NAME
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry.association import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.project.cases.model import CaseFile
    from headrace.project.files import Files


def namespace(user: str) -> str:
    """The prefix of everything that a person tries out: `dev-USER-`."""
    return f"dev-{re.sub(r'[^a-z0-9]+', '-', user.lower()).strip('-') or 'me'}-"


def prefixed(body: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A set whose objects have other names, references and index patterns too: it touches nothing that runs.

    Raises InvalidError for a name that becomes too long.
    """
    rename = _Rename(body, prefix)
    return {
        **body,
        "set": rename.checked(body["set"]),
        "udfs": [{**udf, "name": rename.checked(udf["name"])} for udf in body["udfs"]],
        "pipelines": [rename.pipeline(each) for each in body["pipelines"]],
        "associations": {f"{prefix}{name}": rename.association(each) for name, each in body["associations"].items()},
    }


class _Rename:
    def __init__(self, body: dict[str, Any], prefix: str) -> None:
        self.prefix = prefix
        self.udfs = {udf["name"] for udf in body["udfs"]}
        self.pipelines = {each["name"] for each in body["pipelines"]}

    def checked(self, name: str) -> str:
        if not NAME.fullmatch(found := self.prefix + name):
            raise InvalidError(f"[{found}] does not match {NAME.pattern}: the name is too long for a trial", "name")
        return found

    def pipeline(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**self.stages(body), "name": self.checked(body["name"])}

    def stages(self, holder: dict[str, Any]) -> dict[str, Any]:
        """A pipeline, a stage or its configuration with other references in its stages."""
        found = dict(holder)
        for field in ("stages", "on_failure"):
            if isinstance(found.get(field), list):
                found[field] = [self.stage(each) for each in found[field]]
        return found

    def stage(self, stage: dict[str, Any]) -> dict[str, Any]:
        found = self.stages(stage)
        config = self.stages(found.get("config", {}))
        if config.get("udf_name") in self.udfs:
            config["udf_name"] = self.prefix + config["udf_name"]
        if config.get("pipeline") in self.pipelines:
            config["pipeline"] = self.prefix + config["pipeline"]
        if config.get("function") == "pipeline" and config.get("parameters", {}).get("name") in self.pipelines:
            config["parameters"] = {**config["parameters"], "name": self.prefix + config["parameters"]["name"]}
        return {**found, "config": config}

    def association(self, body: dict[str, Any]) -> dict[str, Any]:
        return {key: value if key == "priority" else self.attached(value) for key, value in body.items()}

    def attached(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.attached(each) for key, each in value.items()}
        return value if value is None or value == NONE else self.prefix + value


def concerned(files: Files, changed: set[str]) -> Callable[[CaseFile], bool]:
    """Whether the cases of a file have to run after a change of files, by their paths in the directory.

    A file that is no longer there, or of another kind, concerns all.
    """
    paths = {udf.file: f"udf:{udf.name}" for udf in files.udfs}
    paths |= {udf.manifest.name: f"udf:{udf.name}" for udf in files.udfs if udf.manifest is not None}
    paths |= {each.source.name: f"pipeline:{each.name}" for each in files.pipelines}
    cases = {path for path in changed if path.startswith(f"{TESTS}/")}
    objects = changed - cases
    everything = FILE in objects or any(path not in paths and path != ASSOCIATIONS for path in objects)
    found = _closure(files, {paths[path] for path in objects if path in paths})
    attached = bool(objects)

    def runs(file: CaseFile) -> bool:
        if everything or file.name in cases or any(path.startswith(f"{file.name}/") for path in cases):
            return True
        subjects = {case.subject for case in file.cases}
        return any(
            (subject.kind == "index" and attached) or f"{subject.kind}:{subject.name}" in found for subject in subjects
        )

    return runs


def _closure(files: Files, changed: set[str]) -> set[str]:
    """The objects that changed, and the pipelines that name them, through others too."""
    found = set(changed)
    uses = {f"pipeline:{each.name}": set(_used(each.body)) for each in files.pipelines}
    while more := {name for name, used in uses.items() if name not in found and used & found}:
        found |= more
    return found


def _used(body: dict[str, Any]) -> Iterator[str]:
    """The UDFs and pipelines that stages name."""
    for field in ("stages", "on_failure"):
        for stage in body.get(field) or [] if isinstance(body.get(field), list) else []:
            config = stage.get("config") if isinstance(stage, dict) else None
            if not isinstance(config, dict):
                continue
            yield f"udf:{config.get('udf_name')}"
            yield f"pipeline:{config.get('pipeline')}"
            if isinstance(config.get("parameters"), dict):
                yield f"pipeline:{config['parameters'].get('name')}"
            yield from _used({**stage, "stages": config.get("stages")})
