"""The files of a project directory, read: pipelines, UDFs with their manifests, associations."""

from __future__ import annotations

import base64
import codecs
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.project.decorated import declared
from headrace.project.problems import Problem, ProjectError
from headrace.project.source import MOST_BYTES, Source, read_text
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.manifest import INTERPRETED, LANGUAGE_OF_SUFFIX, PYTHON, headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.project.variables import Variables

PIPELINES, UDFS, TESTS, ASSOCIATIONS = "pipelines", "udfs", "tests", "associations.yaml"
STRUCTURED = (".yaml", ".yml", ".json")
CODE = {**LANGUAGE_OF_SUFFIX, ".wasm": "wasm", ".wat": "wat"}
"""The language of a UDF by the ending of its file; a manifest may say another one of a module."""
MANIFEST = ".udf"
MOST_OBJECTS = 1000
"""Maximum number of pipelines, UDFs and associations of a set, as for the endpoint that applies it."""


@dataclass
class PipelineFile:
    """A pipeline: its file, and its fields with the variables in place."""

    source: Source
    name: str
    fields: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """The definition with its name."""
        return {"name": self.name, **self.fields}


@dataclass
class UdfFile:
    """A UDF: its code, and the fields of its manifest. `file`: of the code, relative to the directory."""

    file: str
    name: str
    language: str
    code: bytes
    fields: dict[str, Any]
    manifest: Source | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The body of `PUT /_udf/{name}`."""
        text = self.language != "wasm" and not self.file.endswith(".wasm")
        code = {"source": self.code.decode()} if text else {"wasm": base64.b64encode(self.code).decode()}
        return {"name": self.name, "language": self.language, **self.fields, **code}


@dataclass
class Files:
    """All files of a directory, and the problems of those that cannot be read."""

    pipelines: list[PipelineFile] = field(default_factory=list)
    udfs: list[UdfFile] = field(default_factory=list)
    associations: Source | None = None
    patterns: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps the problems of a file that cannot be read; the next one is read all the same."""
        try:
            yield
        except ProjectError as error:
            self.problems += error.problems


def read(folder: Path, variables: Variables) -> Files:
    """Reads the files of a directory; what is wrong with them is in `problems`."""
    files = Files()
    for path in _listed(folder / PIPELINES, STRUCTURED):
        with files.collecting():
            files.pipelines.append(_pipeline(folder, path, variables))
    for path in _listed(folder / UDFS, tuple(CODE)):
        with files.collecting():
            files.udfs.append(read_udf(folder, path, variables))
    with files.collecting():
        _refuse_orphans(folder)
    with files.collecting():
        _associations(folder, variables, files)
    files.problems += variables.problems
    files.problems += _limits(files)
    return files


def _listed(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files with one of the endings, by name; hidden ones and manifests are left out."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix in endings and path.is_file() and not path.name.startswith("."):
            yield path


def inside(folder: Path, path: Path) -> Path:
    """`path`, which may be a link within the directory. Raises ProjectError for one that leads out of it.

    A directory may come from a proposed change: its links must not bring files of the host into a set.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        reason = "is a symbolic link out of the directory"
        raise ProjectError([Problem(file=name_of(folder, path), reason=reason, hint="copy the file")])
    return path


def _pipeline(folder: Path, path: Path, variables: Variables) -> PipelineFile:
    inside(folder, path)
    source = Source.read(path, name_of(folder, path))
    if not isinstance(source.value, dict):
        raise ProjectError([source.problem("must be an object with type and stages")])
    fields = variables.filled(source)
    name = fields.pop("name", path.stem)
    if not isinstance(name, str):
        raise ProjectError([source.problem("must be a text", "name")])
    return PipelineFile(source, name, fields)


def read_udf(folder: Path, path: Path, variables: Variables) -> UdfFile:
    """A UDF with the manifest beside it. Raises ProjectError."""
    file = name_of(folder, inside(folder, path))
    manifest = _manifest(folder, path)
    fields = variables.filled(manifest) if manifest is not None else {}
    if manifest is not None:
        for key in {"source", "wasm"} & set(fields):
            raise ProjectError([manifest.problem(f"is the file {file} itself", key, "remove it", key=True)])
        _check_fields(manifest, fields)
    language = fields.pop("language", CODE[path.suffix])
    if path.suffix == ".wasm" and language in INTERPRETED and manifest is not None:
        raise ProjectError([manifest.problem(f"[{language}] is text, and {path.name} is a module", "language")])
    code = _code(path, file)
    if language == PYTHON:
        fields = {**declared(code.decode(), file), **fields}
    name = fields.pop("name", None) or (_named(code, file) if language in INTERPRETED else None) or path.stem
    if not isinstance(name, str):
        raise ProjectError([Problem(file=file, field="name", reason="must be a text")])
    if packages := fields.get("packages"):
        fields["packages"] = [_package(folder, path, each, manifest, i) for i, each in enumerate(packages)]
    return UdfFile(file, name, language, code, fields, manifest)


def _check_fields(manifest: Source, fields: dict[str, Any]) -> None:
    """Raises ProjectError for the fields that say how the file is read, where they have another type."""
    kinds = {"name": str, "language": str, "packages": list}
    words = {str: "a text", list: "a list"}
    found = [
        manifest.problem(f"must be {words[kind]}", key)
        for key, kind in kinds.items()
        if key in fields and not isinstance(fields[key], kind)
    ]
    if found:
        raise ProjectError(found)


def _code(path: Path, file: str) -> bytes:
    if path.suffix != ".wasm":
        read_text(path, file)
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if path.stat().st_size > MOST_BYTES:
        raise ProjectError([Problem(file=file, reason=f"the file has more than {MOST_BYTES} bytes")])
    return path.read_bytes()


def _named(code: bytes, file: str) -> str | None:
    try:
        name = headers(code.decode()).get("name")
    except InvalidError as error:
        raise ProjectError([Problem(file=file, reason=error.reason)]) from None
    return name if isinstance(name, str) else None


def _manifest(folder: Path, path: Path) -> Source | None:
    found = [path.with_name(f"{path.stem}{MANIFEST}{ending}") for ending in STRUCTURED]
    present = [each for each in found if each.is_file()]
    if not present:
        return None
    source = Source.read(inside(folder, present[0]), name_of(folder, present[0]))
    if len(present) > 1:
        raise ProjectError([source.problem(f"there is {present[1].name}, too", hint="keep one manifest")])
    if not isinstance(source.value, dict):
        raise ProjectError([source.problem("must be an object")])
    return source


def _package(folder: Path, path: Path, package: Any, manifest: Source | None, i: int) -> str:
    """A zip or wheel that a manifest names, as base64; the path is relative to the manifest."""
    assert manifest is not None  # noqa: S101 - fields come from it
    where = f"packages[{i}]"
    found = (path.parent / str(package)).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise ProjectError([manifest.problem(f"[{package}] is no file of this directory", where)])
    if found.stat().st_size > MOST_BYTES:
        raise ProjectError([manifest.problem(f"[{package}] has more than {MOST_BYTES} bytes", where)])
    return base64.b64encode(found.read_bytes()).decode()


def _refuse_orphans(folder: Path) -> None:
    """Raises ProjectError for manifests without code."""
    paths = [path for path in _listed(folder / UDFS, STRUCTURED) if path.stem.endswith(MANIFEST)]
    orphans = [
        path
        for path in paths
        if not any(path.with_name(path.stem.removesuffix(MANIFEST) + ending).is_file() for ending in CODE)
    ]
    reason = f"there is no code beside this manifest: {', '.join(f'NAME{ending}' for ending in CODE)}"
    if orphans:
        raise ProjectError([Problem(file=name_of(folder, path), reason=reason) for path in orphans])


def _associations(folder: Path, variables: Variables, files: Files) -> None:
    path = folder / ASSOCIATIONS
    if not path.is_file():
        return
    source = files.associations = Source.read(inside(folder, path), ASSOCIATIONS)
    if source.value is None:
        return
    if not isinstance(source.value, dict):
        raise ProjectError([source.problem("must be an object of index patterns")])
    files.patterns = variables.filled(source)


def _limits(files: Files) -> Iterator[Problem]:
    objects = len(files.pipelines) + len(files.udfs) + len(files.patterns)
    if objects > MOST_OBJECTS:
        yield Problem(file=".", reason=f"the directory has {objects} objects; a set has at most {MOST_OBJECTS}")


def name_of(folder: Path, path: Path) -> str:
    """The path relative to the directory, with `/`."""
    return path.relative_to(folder).as_posix()
