"""How a command fails: exit codes for scripts, and `error: reason (field)` with a `hint:` for people."""

from __future__ import annotations

import enum
import sys


class ExitCode(enum.IntEnum):
    """The exit codes of every command. docs/reference/cli.md lists them."""

    OK = 0
    FAILED = 1
    """A test fails, a file is invalid, or the command cannot do its work."""
    USAGE = 2
    """The command line or the settings are wrong."""
    DIFFERENCES = 3
    """There are differences."""
    CONFLICT = 4
    """Another writer changed the same thing first, or the thing is in use."""
    UNREACHABLE = 5
    """The target does not answer."""
    REFUSED = 6
    """The target refuses the credentials or the right is missing."""


MEANINGS = {
    ExitCode.OK: "the command did its work",
    ExitCode.FAILED: "it failed: a test, an invalid file, an error of the target",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.DIFFERENCES: "there are differences",
    ExitCode.CONFLICT: "another writer was first, or the object is in use",
    ExitCode.UNREACHABLE: "the target does not answer",
    ExitCode.REFUSED: "the target refuses the caller",
}


class Failure(Exception):  # noqa: N818 - it ends a command; its class is not shown
    """Ends the command. `field` is the path of what is wrong, `hint` says what to do next."""

    def __init__(self, reason: str, field: str = "", hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.hint = hint
        self.code = code


def failure_of(error: Exception) -> Failure | None:
    """The failure that an error means to a user; None for a defect, whose traceback belongs in a report.

    The classes of errors are found in the modules that the command has imported: this module imports none of them,
    so that a help is quick.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return Failure(f"{named}{error.strerror or error}")
    if isinstance(error, UnicodeDecodeError):
        return Failure(f"the input is not UTF-8: {error.reason} at byte {error.start}", hint="save it as UTF-8")
    pipelines = sys.modules.get("headrace_pipelines.errors")
    if pipelines is not None and isinstance(error, pipelines.HeadraceError):
        field = getattr(error, "field", "")
        return Failure(error.reason.removeprefix(f"[{field}] "), field)
    project = sys.modules.get("headrace.project.problems")
    if project is not None and isinstance(error, project.ProjectError):
        first = error.problems[0]
        return Failure(f"{first.file}:{first.line}:{first.column}: {first.reason}", first.field, first.hint)
    client = sys.modules.get("headrace.client.errors")
    if client is not None and isinstance(error, client.UnreachableError):
        hint = "name a target with --url, --target or HEADRACE_URL, or start one with `headrace serve`"
        return Failure(str(error), hint=hint, code=ExitCode.UNREACHABLE)
    if client is not None and isinstance(error, client.ClientError):
        return Failure(error.reason, error.field, _hint(error.status), _code(error.status))
    return None


def _code(status: int) -> ExitCode:
    if status in (401, 403):
        return ExitCode.REFUSED
    if status == 409:
        return ExitCode.CONFLICT
    return ExitCode.UNREACHABLE if status in (502, 503, 504) else ExitCode.FAILED


def _hint(status: int) -> str:
    if status == 401:
        return "set HEADRACE_USER and HEADRACE_PASSWORD, HEADRACE_TOKEN, or the keys of the target in headrace.toml"
    if status == 403:
        return "changes need the admin token: set HEADRACE_ADMIN_TOKEN or admin_token_file of the target"
    return ""
