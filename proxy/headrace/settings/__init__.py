"""Settings: defaults, a folder of secrets, a TOML file, `HEADRACE_…` environment variables, then the command line.

Every field of [`Settings`] is a key of the file (`upstream = "http://…"`), a variable (`HEADRACE_UPSTREAM`) and an
option of `headrace serve` (`--upstream`). docs/reference/settings.md has a heading for each; a test keeps it so.
"""

from headrace.settings.checks import validate
from headrace.settings.documentation import SettingDoc, documented, restart_needed, schema
from headrace.settings.fields import Settings, redacted
from headrace.settings.sources import ENVIRONMENT, Loaded, Sources, load

__all__ = [
    "ENVIRONMENT",
    "Loaded",
    "SettingDoc",
    "Settings",
    "Sources",
    "documented",
    "load",
    "redacted",
    "restart_needed",
    "schema",
    "validate",
]
