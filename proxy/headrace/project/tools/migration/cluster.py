"""Files with ingest and search pipelines of OpenSearch, as its API returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.project.source import Source
from headrace.project.tools.migration.model import BY_HAND, CONVERTED, Comment, Conversion, Finding, MigrationError
from headrace.protocol.importing import from_ingest, from_search
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

_PARTS = ("processors", "request_processors", "response_processors", "phase_results_processors")


def ingest(text: str) -> Conversion:
    """A document pipeline. Raises MigrationError for a file that holds no pipeline, ProjectError for no YAML."""
    return _converted(text, lambda body: [from_ingest(body, "imported", None)])


def search(text: str) -> Conversion:
    """A query and a result pipeline, each if it has processors."""
    return _converted(text, lambda body: from_search(body, "imported", None))


def _converted(text: str, convert: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Conversion:
    body = _body(Source.parse(text, "pipeline.json" if text.lstrip().startswith("{") else "pipeline.yaml").value)
    conversion = Conversion()
    try:
        found = convert(body)
    except InvalidError as error:
        reason = error.reason.removeprefix(f"[{error.field}] ")
        conversion.findings.append(Finding(line=1, part=error.field or "pipeline", status=BY_HAND, reason=reason))
        conversion.pipelines.append(({"type": "document"}, [Comment(f"by hand: {error.field}: {reason}")]))
        return conversion
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MigrationError("the pipeline has another form than OpenSearch's") from error
    for definition in found:
        fields = {key: value for key, value in definition.items() if key not in ("name", "stages") and value != ""}
        conversion.pipelines.append((fields, definition["stages"]))
        conversion.findings.append(Finding(line=1, part=f"{definition['type']} pipeline", status=CONVERTED))
    return conversion


def _body(value: Any) -> dict[str, Any]:
    """The pipeline of a file, also where it stands below its name."""
    if isinstance(value, dict) and len(value) == 1 and not any(part in value for part in _PARTS):
        (value,) = value.values()
    if not isinstance(value, dict) or not any(part in value for part in _PARTS):
        raise MigrationError(f"the file has none of {', '.join(_PARTS)}")
    if any(not isinstance(value.get(part, []), list) for part in _PARTS):
        raise MigrationError("the processors must be a list")
    return value
