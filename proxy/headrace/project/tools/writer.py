"""Writes a set as the files of a project directory, so that reading them gives the same set.

A file whose object is the same already stays as it is, with its comments.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.client.target import FILE
from headrace.project.config import DEFAULT_SET
from headrace.project.files import ASSOCIATIONS, CODE, MANIFEST, PIPELINES, UDFS
from headrace.project.problems import Problem, ProjectError
from headrace.project.project import Project
from headrace.project.source import dump
from headrace_pipelines import definition as definitions
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.registry.association import pattern_of
from headrace_pipelines.udf import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.project.files import PipelineFile, UdfFile

_VARIABLE = re.compile(r"\$\{var:")
_ENDINGS = {language: ending for ending, language in reversed(CODE.items())}
"""The ending of the file of a language; modules of others end with `.wasm`."""
WIDTH = 100
"""Characters of a line of a file, where its values allow it."""


@dataclass
class Written:
    """Paths relative to the directory. `stale`: files of objects that the set does not have."""

    files: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def write(folder: Path, export: Mapping[str, Any], *, prune: bool = False) -> Written:
    """Writes what `GET /_registry/_export` answers. `prune` removes files of objects that are not in it.

    Raises ProjectError for a directory that holds a project which cannot be read, for a name that is none (files get
    their names from it), and for a file that would be outside of the directory; and OSError.
    """
    _check_names(export)
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder)
    if (name := export.get("set")) and name != DEFAULT_SET and not (folder / FILE).exists():
        writer.save(FILE, f'set = "{name}"\n'.encode())
    names = [definition["name"] for definition in export["pipelines"]]
    for definition in export["pipelines"]:
        writer.pipeline(definition, unique=names.count(definition["name"]) == 1)
    for udf in export["udfs"]:
        writer.udf(udf)
    writer.associations(export["associations"])
    if prune:
        for path in writer.written.stale:
            (folder / path).unlink()
    return writer.written


class _Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = Written()
        self._pipelines: dict[tuple[str, str], PipelineFile] = {}
        self._udfs: dict[str, UdfFile] = {}
        self._patterns: dict[str, Any] = {}
        if any((folder / part).exists() for part in (FILE, PIPELINES, UDFS, ASSOCIATIONS)):
            project = Project.load(folder)
            project.as_set()
            self._pipelines = {(str(each.fields.get("type")), each.name): each for each in project.files.pipelines}
            self._udfs = {each.name: each for each in project.files.udfs}
            self._patterns = project.files.patterns
        self._used = {each.source.name for each in self._pipelines.values()} | {
            each.file for each in self._udfs.values()
        }
        """Files of objects, of which each has one."""
        self.written.stale = [each.source.name for each in self._pipelines.values()]
        for udf in self._udfs.values():
            self.written.stale += [udf.file, *([udf.manifest.name] if udf.manifest is not None else [])]

    def save(self, path: str, data: bytes) -> None:
        """Writes a file unless it has this content."""
        file = self.folder / path
        if not file.resolve().is_relative_to(self.folder.resolve()):
            raise ProjectError([Problem(file=path, reason="is outside of the directory, by a symbolic link")])
        self._keep(path)
        if file.is_file() and file.read_bytes() == data:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.written.files.append(path)

    def _keep(self, *paths: str) -> None:
        self.written.stale = [path for path in self.written.stale if path not in paths]

    def _free(self, stem: str, ending: str) -> str:
        """`stem`, with a number where another object has the file: `a.query` may be a name, and a type with a name."""
        free, number = stem, 1
        while f"{free}{ending}" in self._used:
            number += 1
            free = f"{stem}-{number}"
        self._used.add(f"{free}{ending}")
        return free

    def pipeline(self, definition: Mapping[str, Any], *, unique: bool) -> None:
        """Writes a pipeline; of several types with one name each has its type in the name of its file."""
        name, kind = definition["name"], definition["type"]
        present = self._pipelines.get((kind, name))
        if present is not None and _pipeline_of(present.body) == _pipeline_of(definition):
            self._keep(present.source.name)
            return
        if present is not None and present.source.name.endswith((".yaml", ".yml")):
            path = present.source.name
        else:
            path = self._free(f"{PIPELINES}/{name if unique else f'{name}.{kind}'}", ".yaml") + ".yaml"
        fields = {key: value for key, value in definition.items() if key != "name" or Path(path).stem != name}
        self.save(path, _yaml(fields))

    def udf(self, udf: Mapping[str, Any]) -> None:
        """Writes the code of a UDF, and beside it what the code itself does not say."""
        name, language = udf["name"], udf["language"]
        present = self._udfs.get(name)
        if present is not None and _udf_of(present.body) == _udf_of(udf):
            self._keep(present.file, *([present.manifest.name] if present.manifest is not None else []))
            return
        ending = _ENDINGS.get(language, ".wasm") if "source" in udf else ".wasm"
        if present is not None and present.file.endswith(ending):
            stem = present.file.removesuffix(ending)
        else:
            stem = self._free(f"{UDFS}/{name}", ending)
        code = udf["source"].encode() if "source" in udf else base64.b64decode(udf["wasm"])
        self.save(f"{stem}{ending}", code)
        fields = _manifest_of(udf, Path(stem).name, ending)
        if packages := udf.get("packages"):
            files = [f"{stem}.packages-{i}.zip" for i in range(len(packages))]
            for file, package in zip(files, packages, strict=True):
                self.save(file, base64.b64decode(package))
            fields["packages"] = [Path(file).name for file in files]
        if fields:
            manifest = f"{stem}{MANIFEST}.yaml"
            if present is not None and present.manifest is not None:
                manifest = present.manifest.name
            self.save(manifest, _yaml(fields))

    def associations(self, associations: Mapping[str, Any]) -> None:
        """Writes all associations in a file."""
        present = {name: pattern_of(name, body) for name, body in self._patterns.items()}
        if present != {name: pattern_of(name, body) for name, body in associations.items()}:
            self.save(ASSOCIATIONS, _yaml(dict(associations)))


def _check_names(export: Mapping[str, Any]) -> None:
    """Raises ProjectError for an export with a name that no proxy takes, such as a path."""
    names = [("set", export.get("set") or DEFAULT_SET)]
    names += [(kind, each["name"]) for kind in ("pipelines", "udfs") for each in export[kind]]
    wrong = [(kind, name) for kind, name in names if not definitions.NAME.fullmatch(str(name))]
    if wrong:
        reason = f"does not match {definitions.NAME.pattern}: nothing was written"
        raise ProjectError([Problem(file=kind, reason=f"[{name}] {reason}") for kind, name in wrong])


def _manifest_of(udf: Mapping[str, Any], stem: str, ending: str) -> dict[str, Any]:
    """The fields of a UDF that neither its code nor the name of its file says."""
    said: dict[str, Any] = {}
    if udf["language"] in manifests.INTERPRETED:
        said = manifests.headers(udf["source"])
    fields = {key: value for key, value in udf.items() if key not in ("source", "wasm", "packages")}
    if fields["name"] == said.get("name", stem):
        del fields["name"]
    if fields["language"] == CODE[ending]:
        del fields["language"]
    defaults = {each.encode_name: each.default for each in msgspec.structs.fields(manifests.Manifest)}
    for key, value in said.items():
        if key in fields and fields[key] == value:
            del fields[key]
        elif key not in fields and key not in ("name", "version") and isinstance(defaults.get(key), str | bool):
            fields[key] = defaults[key]
    return fields


def _pipeline_of(body: Mapping[str, Any]) -> object:
    """What a pipeline says, for comparing: an automatic version is none."""
    try:
        definition = definitions.parse(msgspec.json.encode(body), str(body["name"]))
    except HeadraceError:
        return body
    return msgspec.structs.replace(definition, version="") if definition.version.isdigit() else definition


def _udf_of(body: Mapping[str, Any]) -> object:
    """The same for a UDF and its code."""
    try:
        manifest, code, _ = manifests.parse(msgspec.json.encode(body), str(body["name"]))
    except HeadraceError:
        return body
    return (msgspec.structs.replace(manifest, version="") if manifest.version.isdigit() else manifest), code


def _yaml(value: Any) -> bytes:
    return f"{dump(_escaped(value), width=WIDTH)}\n".encode()


def _escaped(value: Any) -> Any:
    """A value in whose texts `${var:` stands for itself."""
    if isinstance(value, str):
        return _VARIABLE.sub("$${var:", value)
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    return value
