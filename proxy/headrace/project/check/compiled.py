"""The engine for a project: its catalogue, and the compiled state of its files."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines import definition as definitions
from headrace_pipelines.udf.catalog import Catalog, guest_cache
from headrace_pipelines.udf.secrets import Secrets

if TYPE_CHECKING:
    from headrace.project.files import Files
    from headrace_pipelines.definition import PipelineDefinition

_SECRET = re.compile(r"\$\{secret:([A-Za-z0-9_]+)\}")
VERSION = "1"
"""The version of what a directory holds, where it names none."""
STAND_IN = "secret"
"""The value of a secret that the environment does not have: definitions are checked without their secrets."""


def catalog_for(files: Files) -> Catalog:
    """The catalogue of compiled code, with a value for every secret that the files name."""
    texts = [each.source.text for each in files.pipelines]
    names = frozenset(name for text in texts for name in _SECRET.findall(text))
    return _catalog(names)


@functools.lru_cache(maxsize=4)
def _catalog(names: frozenset[str]) -> Catalog:
    values = {name: os.environ.get(f"HEADRACE_SECRET_{name}", STAND_IN) for name in names}
    return Catalog(guest_cache(), secrets=Secrets(values))


def definition_of(body: dict[str, Any]) -> PipelineDefinition:
    """A definition as the directory alone has it: offline there are no versions but the present ones.

    Raises InvalidError.
    """
    definition = definitions.decode(msgspec.json.encode(_unpinned(body)))
    return msgspec.structs.replace(definition, version=definition.version or VERSION)


def _unpinned(body: dict[str, Any]) -> dict[str, Any]:
    """Without the versions of UDFs and pipelines that its stages name."""
    found = dict(body)
    for field in ("stages", "on_failure"):
        if isinstance(found.get(field), list):
            found[field] = [_unpinned(stage) for stage in found[field]]
    if isinstance(config := found.get("config"), dict) and found.get("type") != "native":
        kept = {name: value for name, value in config.items() if name not in ("udf_version", "version")}
        found["config"] = _unpinned(kept)
    return found
