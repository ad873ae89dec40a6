"""Targets: the proxies that a person works with, from `headrace.toml` and the environment.

A target is a table `[target.NAME]` of the nearest `headrace.toml`: that of the working directory, of a parent, or of
`$XDG_CONFIG_HOME/headrace`. Secrets come from `${env:NAME}` or from a file, never from the command line.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "headrace.toml"
DEFAULT_URL = "http://127.0.0.1:9280"
"""Where `headrace serve` listens without settings."""
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
SECRETS = ("password", "token", "admin_token")
"""Keys that also have a form `NAME_file`, and a variable `HEADRACE_NAME` and `HEADRACE_NAME_FILE`."""


class Sigv4(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signing of requests as AWS wants it; needs botocore and its credentials."""

    region: str
    service: str = "es"


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A proxy: its address, how to trust it and how to sign in. `timeout` is in seconds."""

    url: str = DEFAULT_URL
    user: str = ""
    password: str = ""
    password_file: str = ""
    token: str = ""
    token_file: str = ""
    admin_token: str = ""
    admin_token_file: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True
    timeout: float = 60.0
    sigv4: Sigv4 | None = None
    vars: dict[str, Any] = {}


def find_file(folder: Path) -> Path | None:
    """The `headrace.toml` that is in force in a folder, or None."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "headrace")
    for candidate in (folder, *folder.parents, user):
        if (candidate / FILE).is_file():
            return candidate / FILE
    return None


def tables(file: Path) -> dict[str, Any]:
    """The tables `[target.NAME]` of a file, as they are written. Raises InvalidError."""
    try:
        found = tomllib.loads(file.read_text("utf-8-sig")).get("target", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} is not TOML: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise InvalidError(f"{file}: targets are tables, such as [target.dev]", "target")
    return found


def load(
    name: str = "", url: str = "", environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> Target:
    """The target to call: `name` of the file, `url` in place of its address, then what the environment adds.

    Without a name it is that of `HEADRACE_TARGET`; without any, the address of `HEADRACE_URL`, or the default.
    Raises InvalidError that says which targets exist.
    """
    name = name or ("" if url else environment.get("HEADRACE_TARGET", ""))
    values = _named(name, file or find_file(Path.cwd()), environment) if name else {}
    if url or (not name and environment.get("HEADRACE_URL")):
        values["url"] = url or environment["HEADRACE_URL"]
    for key in ("ca", "cert", "key"):
        if not values.get(key) and environment.get(f"HEADRACE_{key.upper()}"):
            values[key] = environment[f"HEADRACE_{key.upper()}"]
    for key in ("user", *SECRETS):
        if key not in values and f"{key}_file" not in values:
            _add_variable(values, key, environment)
    try:
        target = msgspec.convert(values, Target)
    except msgspec.ValidationError as error:
        raise InvalidError(f"{error}", f"target.{name}" if name else "target") from None
    _check_url(target.url)
    return _with_files(target)


def _check_url(url: str) -> None:
    """Raises InvalidError for an address that has credentials, which is not shown, or is no address of HTTP."""
    if "@" in url:
        raise InvalidError("must not carry credentials: use user and password_file, or HEADRACE_USER", "url")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidError(f"is not an http:// or https:// URL: {error}", "url") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidError(f"[{url}] is not an http:// or https:// URL", "url")


def _add_variable(values: dict[str, Any], key: str, environment: Mapping[str, str]) -> None:
    """Adds what the environment says of a key that the target has in no form."""
    variable = f"HEADRACE_{key.upper()}"
    if environment.get(variable):
        values[key] = environment[variable]
    elif key in SECRETS and environment.get(f"{variable}_FILE"):
        values[f"{key}_file"] = environment[f"{variable}_FILE"]


def _named(name: str, file: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    found = tables(file) if file else {}
    if name not in found:
        exist = ", ".join(sorted(found)) or "none"
        where = f"{file}" if file else f"no {FILE} found"
        raise InvalidError(f"[{name}] is not a target; those that exist: {exist} ({where})", "target")
    folder = file.parent if file else Path()
    values = {key: _expanded(value, environment, f"target.{name}.{key}") for key, value in found[name].items()}
    for key in ("ca", "cert", "key", *(f"{secret}_file" for secret in SECRETS)):
        if isinstance(values.get(key), str) and values[key]:
            values[key] = str(folder / values[key])
    return values


def _expanded(value: Any, environment: Mapping[str, str], field: str) -> Any:
    """`value` with its `${env:NAME}`. Raises InvalidError for a variable that is not set."""

    def variable(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise InvalidError(f"the environment variable {found[1]} is not set", field)
        return environment[found[1]]

    return _VARIABLE.sub(variable, value) if isinstance(value, str) else value


def _with_files(target: Target) -> Target:
    """`target` with the secrets that are in files."""
    changes = {}
    for key in SECRETS:
        path = getattr(target, f"{key}_file")
        if path and not getattr(target, key):
            try:
                changes[key] = Path(path).read_text("utf-8-sig").strip()
            except OSError as error:
                raise InvalidError(f"cannot read {path}: {error.strerror}", f"{key}_file") from None
            except UnicodeDecodeError:
                raise InvalidError(f"{path} is not UTF-8", f"{key}_file") from None
    return msgspec.structs.replace(target, **changes)
