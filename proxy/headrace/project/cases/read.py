"""Case files: `NAME.cases.yaml` (or `.json`), and folders with `in.ndjson` and `out.ndjson`."""

from __future__ import annotations

import datetime as dates
from typing import TYPE_CHECKING, Any

from headrace.project.cases.model import DEFAULT_TIME_MS, EXPECTATIONS, INPUTS, Case, CaseFile, Output, Subject
from headrace.project.files import name_of
from headrace.project.problems import Problem, ProjectError, nearest
from headrace.project.source import Source, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from headrace.project.variables import Variables

ENDINGS = tuple(f".cases{ending}" for ending in (".yaml", ".yml", ".json"))
SUBJECTS = ("pipeline", "udf", "index")
IN, OUT, ABOUT = "in.ndjson", "out.ndjson", "case.yaml"
MOST_CASES = 10_000
"""Maximum number of cases of a run: they are held in memory."""
EARLIEST_MS, LATEST_MS = 0, 9_214_646_399_999
"""The times that the engine can fix, in milliseconds since 1970."""
_FILE_FIELDS = (*SUBJECTS, "now", "params", "user", "ignore", "cases")
_FIELDS = ("name", *INPUTS, *EXPECTATIONS, "params", "user", "now", "fixtures", "ignore")
_SHAPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "request": (dict,),
    "response": (dict,),
    "hit": (dict,),
    "docs": (list, dict),
    "params": (dict,),
    "user": (dict,),
    "fixtures": (dict,),
    "expect_patch": (list,),
    "expect_error": (str, dict),
    "moved_to": (str,),
    "cases": (list,),
    **dict.fromkeys(SUBJECTS, (str,)),
}
_WORDS: dict[type, str] = {str: "a text", dict: "an object", list: "a list"}
_METADATA = ("_index", "_id", "_routing", "_source")


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """The case files and case folders at or below paths, by name; each once, where paths overlap."""
    seen: set[Path] = set()
    for found in _found(paths):
        if (resolved := found.resolve()) not in seen:
            seen.add(resolved)
            yield found


def _found(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path.parent if path.name == IN else path
            continue
        if (path / IN).is_file():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            if found.name.endswith(ENDINGS) and found.is_file():
                yield found
            elif found.name == IN and found.parent != path:
                yield found.parent


def read(path: Path, project: Path, variables: Variables) -> CaseFile:
    """A case file, or a folder; what is wrong with it is in its `problems`, the other cases can run."""
    name = name_of(project, path) if path.is_relative_to(project) else path.as_posix()
    file = CaseFile(path, name)
    try:
        if path.is_dir():
            _read_folder(file, variables)
        else:
            file.source = Source.read(path, name)
            _Reader(file, file.source, variables).read()
    except ProjectError as error:
        file.problems += error.problems
    return file


class _Reader:
    """Reads the cases of a file, one by one."""

    def __init__(self, file: CaseFile, source: Source, variables: Variables) -> None:
        self.file = file
        self.source = source
        self.value = variables.filled(source)
        file.problems += variables.problems
        self.names: set[str] = set()

    def read(self) -> None:
        if not isinstance(self.value, dict):
            raise ProjectError([self.source.problem(f"must be an object with {', '.join(SUBJECTS)} and cases")])
        self.check(self.value, _FILE_FIELDS, "")
        subject = self.subject(self.value)
        for i, given in enumerate(self.value.get("cases", [])):
            path = f"cases[{i}]"
            try:
                self.file.cases.append(self.case(given, path, subject, i))
            except ProjectError as error:
                self.file.problems += error.problems

    def subject(self, fields: dict[str, Any]) -> Subject:
        named = [word for word in SUBJECTS if word in fields]
        if len(named) != 1:
            raise self.error(f"needs exactly one of {', '.join(SUBJECTS)}", "")
        return Subject(named[0], fields[named[0]])

    def case(self, given: Any, path: str, subject: Subject, i: int) -> Case:
        if not isinstance(given, dict):
            raise self.error("must be an object", path)
        self.check(given, _FIELDS, path)
        name = given.get("name") or f"case {i + 1}"
        if name in self.names:
            raise self.error(f"another case is called [{name}]", f"{path}.name")
        self.names.add(name)
        inputs = [word for word in INPUTS if word in given]
        if len(inputs) != 1:
            raise self.error(f"needs exactly one of {', '.join(INPUTS)}", path)
        value = given[inputs[0]]
        single = isinstance(value, dict)
        if not single and not value:
            raise self.error("has no document: every expectation would be met", f"{path}.{inputs[0]}")
        documents = inputs[0] == "docs"
        found = [
            self.document(each, f"{path}.docs[{n}]" if not single else f"{path}.docs") if documents else Output(each)
            for n, each in enumerate([value] if single else value)
        ]
        return Case(
            name,
            subject,
            inputs[0],
            found,
            {word: given[word] for word in EXPECTATIONS if word in given},
            path,
            single,
            {**self.value.get("params", {}), **given.get("params", {})},
            given.get("user", self.value.get("user")),
            self.time(given, path),
            (*self.ignored(self.value, ""), *self.ignored(given, path)),
            given.get("fixtures", {}),
        )

    def document(self, given: Any, path: str) -> Output:
        if not isinstance(given, dict):
            raise self.error("must be an object", path)
        if "_source" not in given:
            return Output(given)
        for key in given:
            if key not in _METADATA:
                raise self.error("unknown field beside _source", f"{path}.{key}", nearest(key, _METADATA), key=True)
        texts = [given.get(key) for key in _METADATA[:3]]
        return Output(given["_source"], *(None if text is None else str(text) for text in texts))

    def time(self, given: dict[str, Any], path: str) -> int:
        where, value = (f"{path}.now", given["now"]) if "now" in given else ("now", self.value.get("now"))
        if value is None:
            return DEFAULT_TIME_MS
        found = self._time_ms(value, where)
        if not EARLIEST_MS <= found <= LATEST_MS:
            raise self.error("must be between the years 1970 and 2261", where)
        return found

    def _time_ms(self, value: Any, where: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            time = dates.datetime.fromisoformat(str(value))
        except ValueError:
            raise self.error("must be a time such as 2026-01-01T00:00:00Z, or milliseconds since 1970", where) from None
        if time.tzinfo is None:
            time = time.replace(tzinfo=dates.UTC)
        return int(time.timestamp() * 1000)

    def ignored(self, given: dict[str, Any], path: str) -> tuple[str, ...]:
        value = given.get("ignore", [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.error("must be a list of paths, such as hits.hits[*]._score", f"{path}.ignore".lstrip("."))
        return tuple(value)

    def check(self, fields: dict[str, Any], names: tuple[str, ...], path: str) -> None:
        """Raises ProjectError with all unknown fields and wrong types of an object."""
        found = []
        dot = f"{path}." if path else ""
        for name, value in fields.items():
            if name not in names:
                hint = nearest(name, names)
                found.append(self.source.problem("unknown field", f"{dot}{name}", hint, key=True))
            elif name in _SHAPES and not isinstance(value, _SHAPES[name]):
                words = " or ".join(_WORDS[kind] for kind in _SHAPES[name])
                found.append(self.source.problem(f"must be {words}", f"{dot}{name}"))
        if "dropped" in fields and fields["dropped"] is not True:
            found.append(self.source.problem("must be true; leave it out otherwise", f"{dot}dropped"))
        if found:
            raise ProjectError(found)

    def error(self, reason: str, field: str, hint: str = "", *, key: bool = False) -> ProjectError:
        return ProjectError([self.source.problem(reason, field, hint, key=key)])


def _read_folder(file: CaseFile, variables: Variables) -> None:
    """One case: the documents of `in.ndjson`, and the outputs of `out.ndjson` in its order.

    The folder is called as the pipeline, or `case.yaml` says what runs.
    """
    about, fields = file.path / ABOUT, {}
    if about.is_file():
        source = Source.read(about, f"{file.name}/{ABOUT}")
        reader = _Reader(file, source, variables)
        if not isinstance(reader.value, dict):
            raise ProjectError([source.problem("must be an object")])
        fields = reader.value
        reader.check(fields, tuple(name for name in _FILE_FIELDS if name != "cases"), "")
        subject, time, ignore = reader.subject(fields), reader.time(fields, ""), reader.ignored(fields, "")
    else:
        subject, time, ignore = Subject("pipeline", file.path.name), DEFAULT_TIME_MS, ()
    inputs = [_as_document(each) for each in _lines(file, IN)]
    if not inputs:
        raise ProjectError([Problem(file=f"{file.name}/{IN}", reason="has no document")])
    expected = {"expect": _lines(file, OUT)} if (file.path / OUT).is_file() else {}
    case = Case(file.path.name, subject, "docs", inputs, expected, "", time_ms=time, ignore=ignore)
    case.params, case.user = fields.get("params", {}), fields.get("user")
    file.cases.append(case)


def _as_document(given: dict[str, Any]) -> Output:
    if "_source" not in given:
        return Output(given)
    return Output(given["_source"], given.get("_index"), given.get("_id"), given.get("_routing"))


def _lines(file: CaseFile, name: str) -> list[Any]:
    """The JSON objects of a file, one on each line. Raises ProjectError with the line of what is none."""
    import json

    label, found = f"{file.name}/{name}", []
    for number, line in enumerate(read_text(file.path / name, label).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            problem = Problem(file=label, line=number, reason=f"is not JSON: {error}")
            raise ProjectError([problem]) from None
        if not isinstance(value, dict):
            raise ProjectError([Problem(file=label, line=number, reason="must be an object")])
        found.append(value)
    return found
