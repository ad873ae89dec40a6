"""Where settings come from: defaults, the folder of secrets, a TOML file, environment variables, the command line.

A later source wins. A secret may stand in a file of its own instead: `admin_token_file` in the TOML file,
`HEADRACE_ADMIN_TOKEN_FILE`, `--admin-token-file`. Every error and warning names the source: the file with its line, the
variable, or the option.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.settings.checks import validate
from headrace.settings.fields import Settings, of_kind
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import bad_value, nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENT = "HEADRACE_"
FILE = "_file"
"""The end of the name under which the file of a secret is given."""
UDF_SECRET = "secret_"  # noqa: S105
"""The beginning of the names of secrets that parameters of stages refer to (`${secret:NAME}`)."""
OF_THE_COMMAND_LINE = frozenset(
    (
        *("TARGET", "URL", "USER", "PASSWORD", "PASSWORD_FILE", "TOKEN", "TOKEN_FILE", "CA", "CERT", "KEY"),
        *("JAVA", "OPENSEARCH_ARCHIVE", "CPYTHON_SOURCE", "WORKER_NUMBER", "WORKER_FOLDER"),
    )
)
"""Names behind `HEADRACE_` that are no settings: the targets of the command line, and the identity of a worker."""
TABLE_OF_TARGETS = "target"
"""A table of the TOML file that is for the command line."""
MAX_SECRET_BYTES = 1 << 16
"""Bytes of a file with a secret: a longer one is another file by mistake."""


@dataclass(frozen=True)
class Loaded:
    """Settings in force, and facts about them. `origins`: the source of each setting that is not a default."""

    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    udf_secrets: dict[str, str] = field(default_factory=dict, repr=False)
    files: frozenset[Path] = frozenset()
    """Files with secrets, and their folder."""

    def blamed(self, error: InvalidError) -> InvalidError:
        """An error about a setting, with the source of the setting."""
        return _blamed(error, self.origins)


@dataclass(frozen=True)
class Sources:
    """A TOML file, variables and options, which may be read more than once."""

    file: Path | None
    environment: Mapping[str, str] = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)

    def load(self) -> Loaded:
        """Reads everything. Raises InvalidError that names the setting and its source."""
        return self.loaded_with(self.read_file())

    def read_file(self) -> str:
        """The text of the TOML file. Raises InvalidError."""
        if self.file is None:
            return ""
        try:
            return self.file.read_text()
        except OSError as error:
            raise InvalidError(f"cannot read {self.file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InvalidError(f"{self.file} is not TOML: it is not UTF-8") from None

    def loaded_with(self, text: str) -> Loaded:
        """The settings with `text` in place of that of the TOML file; secrets are read anew. Raises InvalidError."""
        reading = _Reading()
        for values in (self._from_file(text), self._from_environment(reading.warnings), self._from_options()):
            reading.accept(values)
        reading.read_folder()
        return reading.finish()

    def _from_file(self, text: str) -> Iterator[tuple[str, Any, str]]:
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidError(f"{self.file} is not TOML: {error}") from None
        for name, value in values.items():
            origin = f"{self.file}:{_line_of(name, text)}"
            if name == TABLE_OF_TARGETS:
                continue
            if name not in _NAMES:
                raise InvalidError(f"{origin}: {unknown(name, Settings.__struct_fields__, 'setting')}", name)
            yield name, value, origin

    def _from_environment(self, warnings: list[str]) -> Iterator[tuple[str, Any, str]]:
        for variable, value in self.environment.items():
            if not variable.startswith(ENVIRONMENT):
                continue
            name = variable.removeprefix(ENVIRONMENT).lower()
            if name in _NAMES:
                yield name, value, variable
            elif variable.removeprefix(ENVIRONMENT) not in OF_THE_COMMAND_LINE and not name.startswith(UDF_SECRET):
                near = nearest(name, _NAMES)
                hint = f"; did you mean {ENVIRONMENT}{near.upper()}?" if near else ""
                warnings.append(f"the environment variable {variable} is no setting and has no effect{hint}")

    def _from_options(self) -> Iterator[tuple[str, Any, str]]:
        for name, value in self.options.items():
            if value is None:
                continue
            origin = f"--{name.replace('_', '-')}"
            if name not in _NAMES:
                raise InvalidError(f"{origin}: {unknown(name, Settings.__struct_fields__, 'setting')}", name)
            yield name, value, origin


_SECRETS = of_kind("secret")
_NAMES = (*Settings.__struct_fields__, *(secret + FILE for secret in _SECRETS))


def load(file: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """The settings in force. Raises InvalidError that names the setting and where it came from."""
    return Sources(file, environment, options).load().settings


class _Reading:
    """Settings on the way from their sources."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._udf_secrets: dict[str, str] = {}
        self._files: set[Path] = set()
        self.warnings: list[str] = []

    def accept(self, values: Iterator[tuple[str, Any, str]]) -> None:
        """Takes the values of one source, over those of the sources before it."""
        fresh: dict[str, str] = {}
        for given, value, origin in values:
            name = given.removesuffix(FILE) if given.endswith(FILE) and given not in _SETTINGS else given
            if name in fresh:
                raise InvalidError(f"is set twice: by {fresh[name]} and by {origin}", name)
            fresh[name] = origin
            if name == given:
                self._set(name, value, origin)
            else:
                self._set(name, self._secret(Path(str(value)), name, origin), f"{origin} ({value})")

    def _set(self, name: str, value: Any, origin: str) -> None:
        self._values[name] = value
        self._origins[name] = origin

    def _secret(self, path: Path, name: str, origin: str) -> str:
        """The text of a file without its line end. Raises InvalidError, also for an empty one."""
        self._files.add(path)
        try:
            with path.open("rb") as file:
                text = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise InvalidError(f"cannot read {path}: {error.strerror} (set by {origin})", name) from None
        if len(text) > MAX_SECRET_BYTES:
            raise InvalidError(f"{path} has more than {MAX_SECRET_BYTES} bytes (set by {origin})", name)
        try:
            secret = text.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise InvalidError(f"{path} is not UTF-8 (set by {origin})", name) from None
        if not secret:
            raise InvalidError(f"{path} is empty (set by {origin})", name)
        return secret

    def read_folder(self) -> None:
        """Reads the secrets of `secrets_dir` that no other source has. Raises InvalidError."""
        given = self._values.get("secrets_dir")
        if not given:
            return
        folder, origin = Path(str(given)), self._origins["secrets_dir"]
        self._files.add(folder)
        try:
            names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
        except OSError as error:
            raise InvalidError(
                f"cannot read the folder {folder}: {error.strerror} (set by {origin})", "secrets_dir"
            ) from None
        for name in names:
            path = folder / name
            if name.startswith(UDF_SECRET):
                self._udf_secrets[name.removeprefix(UDF_SECRET)] = self._secret(path, name, f"secrets_dir {folder}")
            elif name not in _SECRETS:
                near = nearest(name, _SECRETS)
                hint = f"; did you mean [{near}]?" if near else f"; secrets: {', '.join(_SECRETS)}, {UDF_SECRET}NAME"
                self.warnings.append(f"the file {path} is no secret and has no effect{hint}")
            elif name not in self._values:
                self._set(name, self._secret(path, name, f"secrets_dir {folder}"), str(path))

    def finish(self) -> Loaded:
        """The settings, checked. Raises InvalidError."""
        try:
            settings = msgspec.convert(self._values, Settings, strict=False)
        except msgspec.ValidationError as error:
            raise self._explained(error) from None
        try:
            validate(settings)
        except InvalidError as error:
            raise _blamed(error, self._origins) from None
        return Loaded(settings, self._origins, self.warnings, self._udf_secrets, frozenset(self._files))

    def _explained(self, error: msgspec.ValidationError) -> InvalidError:
        """An error of a type, in words about the setting."""
        name = str(error).partition(" - at `$.")[2].rstrip("`")
        value, kind = self._values.get(name), _SETTINGS[name]
        shown = f", not [{value}]" if name not in _SECRETS else ""
        if isinstance(kind, msgspec.inspect.LiteralType):
            return _blamed(InvalidError(bad_value(str(value), map(str, kind.values)), name), self._origins)
        return _blamed(InvalidError(f"must be {_WORDS.get(type(kind), 'a text')}{shown}", name), self._origins)


_WORDS: dict[type[msgspec.inspect.Type], str] = {
    msgspec.inspect.IntType: "a whole number",
    msgspec.inspect.FloatType: "a number",
    msgspec.inspect.BoolType: "true or false",
}


def _types() -> dict[str, msgspec.inspect.Type]:
    info = msgspec.inspect.type_info(Settings)
    fields = info.fields if isinstance(info, msgspec.inspect.StructType) else ()
    return {
        each.name: each.type.type if isinstance(each.type, msgspec.inspect.Metadata) else each.type for each in fields
    }


_SETTINGS = _types()
"""The type of each setting."""


def _blamed(error: InvalidError, origins: Mapping[str, str]) -> InvalidError:
    origin = origins.get(error.field)
    if origin is None:
        return error
    return InvalidError(f"{error.reason.removeprefix(f'[{error.field}] ')} (set by {origin})", error.field)


def _line_of(name: str, text: str) -> int:
    """The line of a key at the top level of a TOML text, or of a table."""
    quoted = re.escape(name)
    match = re.search(rf"""^[ \t]*(?:\[\[?[ \t]*)?(["']?){quoted}\1[ \t]*[=.\]]""", text, re.MULTILINE)
    return text.count("\n", 0, match.start()) + 1 if match else 1
