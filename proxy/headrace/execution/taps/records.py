"""From a sample to the record that is shown: without hidden fields, with a patch for each stage."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.execution.taps import patches
from headrace.execution.taps.disclosure import Disclosure, response_of, without_cursor
from headrace.execution.taps.hiding import Concealer
from headrace.execution.taps.samples import Record, StageShown
from headrace_pipelines import PipelineType
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.stages import Composite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headrace.execution.protection import HiddenFields
    from headrace.execution.taps.rerun import Rerunner, SecondRun
    from headrace.execution.taps.samples import Sample
    from headrace.execution.taps.selection import Selection
    from headrace_pipelines.stages import CompiledStage
    from headrace_pipelines.udf.secrets import Secrets

WITHHELD = "withheld: a mask hides fields of these documents, and reasons may quote them"
MAX_TRACE = 4 << 20
"""Bytes of the outputs of all stages of a record; with more it shows no stages: 64 of the longest documents."""
MAX_RECORD = 1 << 20
"""Bytes of the longest record; a longer one shows no stages. A frame to another worker may have 16 MiB."""
MAX_REASON = 8 << 10
"""Characters of a reason: one that quotes a document may be long."""
UDF_ERROR = "udf_exception"
ERROR_TYPES = frozenset(
    {
        *(name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, Exception)),
        *("Error", "EvalError", "RangeError", "ReferenceError", "URIError", UDF_ERROR, "udf_timeout_exception"),
        *("udf_breaker_exception", "udf_trap_exception", "udf_result_exception", "udf_memory_limit_exception"),
        *("parse_exception", "mapper_parsing_exception", "illegal_state_exception", "illegal_argument_exception"),
        *("engine_exception", "fail_processor_exception", "document_limit_exception", "condition_exception"),
        *("number_format_exception", "class_cast_exception", "security_exception", "rejected_execution_exception"),
        *("timeout_exception", "content_too_large_exception", "unsupported_operation_exception"),
    }
)
"""Types of errors that no document has named."""


def record_of(sample: Sample, selection: Selection, hidden: HiddenFields, rerunner: Rerunner) -> Record | None:
    """The record of a sample; `None` where the second run tells that it is not selected."""
    second = _second_run(sample, rerunner) if sample.text is not None and selection.needs_trace else None
    if second is not None and sample.outcome == "unchanged" and _all_skipped(second):
        sample.outcome = "skipped"
    if not _is_selected(sample, selection, second):
        return None
    concealer = Concealer(hidden)
    record = _frame(sample)
    try:
        _fill(record, sample, selection, second, concealer)
    except (ValueError, RecursionError):
        # A document that cannot be read shows nothing of itself: nobody can say what of it is hidden.
        record.before = record.after = record.stages = None
        record.rerun = "unreadable"
    if concealer.names:
        record.hidden = sorted(concealer.names)
    return record


def encoded(record: Record) -> bytes:
    """The text of a record, without what makes it too long."""
    text = msgspec.json.encode(record)
    if len(text) > MAX_RECORD:
        record.stages, record.truncated = None, True
        text = msgspec.json.encode(record)
    if len(text) > MAX_RECORD:
        record.before = record.after = None
        text = msgspec.json.encode(record)
    return text


def _second_run(sample: Sample, rerunner: Rerunner) -> SecondRun | None:
    try:
        return rerunner.run(sample)
    except HeadraceError:
        return None


def _all_skipped(second: SecondRun) -> bool:
    return bool(second.trace) and all(entry["status"] == "skipped" for entry in second.trace)


def _is_selected(sample: Sample, selection: Selection, second: SecondRun | None) -> bool:
    wanted = selection.outcome
    if not wanted or sample.outcome in wanted:
        return True
    if "slow" not in wanted:
        return False
    # The duration of a run says nothing of one document among many.
    spent = sum(_ms(entry) for entry in second.trace) * 1e6 if second is not None else 0.0
    single = sample.kind is not PipelineType.DOCUMENT or sample.single
    return (sample.duration_ns if single else spent) >= selection.slow_ns


def _ms(entry: dict[str, Any]) -> float:
    return float(entry.get("duration_ms", 0.0))


def _frame(sample: Sample) -> Record:
    definition, facts = sample.pipeline.definition, sample.facts
    return Record(
        datetime.fromtimestamp(sample.at, UTC).isoformat(timespec="milliseconds"),
        facts.surface,
        definition.type.value,
        definition.name,
        definition.version,
        sample.options.final,
        sample.index,
        sample.id,
        facts.user,
        facts.opaque_id,
        facts.trace_id,
        sample.outcome,
        round(sample.duration_ns / 1e6, 3),
    )


def _fill(record: Record, sample: Sample, selection: Selection, second: SecondRun | None, concealer: Concealer) -> None:
    if sample.failure is not None:
        status, kind, reason, _, stage = sample.failure
        record.error = {
            "type": _type(kind, concealer),
            "reason": _reason(reason, concealer),
            "stage": stage,
            "status": status,
        }
    if sample.text is None:
        record.truncated = True
        return
    if second is not None and sum(len(entry.get("output", b"")) for entry in second.trace) > MAX_TRACE:
        record.truncated, second = True, None
    if sample.kind is PipelineType.RESULT:
        if sample.outputs:
            record.hits = _hits(sample.text, sample.outputs[0])
        if second is not None and selection.stages != "none":
            record.stages = _result_stages(sample, second, concealer)
        return
    traced = [patches.text_of(bytes(entry["output"])) for entry in second.trace if "output" in entry] if second else []
    before, later = _forms(sample, traced, concealer)
    record.before = msgspec.Raw(before)
    if sample.outputs:
        record.after = msgspec.Raw(_joined([later(patches.text_of(text)) for text in sample.outputs]))
    if record.id is not None and concealer.hidden and (sample.derived or not concealer.shows(record.id)):
        # A pipeline that ran before may have made the id of a hidden value.
        record.id = None
    if second is None or selection.stages == "none":
        return
    shown = [later(text) for text in traced]
    record.stages = list(_stages(sample, second, selection, concealer, before, shown))
    if not _agrees(sample, second):
        record.rerun = "differs"


def _forms(sample: Sample, traced: Sequence[bytes], concealer: Concealer) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The input as it is shown, and the function that gives what pipelines made of it as that is shown."""
    if concealer.hidden:
        for text in (sample.text or b"{}", *sample.outputs, *traced):
            concealer.learn(patches.text_of(text))
        disclosure = Disclosure(sample, concealer)
        return disclosure.before, disclosure.later
    later = without_cursor if sample.kind is PipelineType.QUERY else bytes
    return later(patches.text_of(sample.text or b"{}")), later


def matched_text(sample: Sample, hidden: HiddenFields, secrets: Secrets) -> bytes:
    """The text that `match` is evaluated over: what a record shows of the input.

    Raises msgspec.DecodeError, UnicodeDecodeError, ValueError or RecursionError for one that shows nothing.
    """
    if sample.kind is not PipelineType.RESULT:
        text, _ = _forms(sample, (), Concealer(hidden))
    else:
        text = response_of(sample, hidden) if hidden else sample.text or b"{}"
    return secrets.hidden_in(text)


def _agrees(sample: Sample, second: SecondRun) -> bool:
    """Whether the second run ended as the first: both failed, or with the same documents."""
    if second.failed or sample.failure is not None:
        return second.failed and sample.failure is not None
    return len(second.outputs) == len(sample.outputs) and all(
        patches.same(patches.text_of(again), patches.text_of(first))
        for again, first in zip(second.outputs, sample.outputs, strict=True)
    )


def _joined(outputs: Sequence[bytes]) -> bytes:
    return outputs[0] if len(outputs) == 1 else b"[%b]" % b",".join(outputs)


def _reason(reason: str, concealer: Concealer) -> str:
    return WITHHELD if concealer.hidden else reason[:MAX_REASON]


def _type(kind: str, concealer: Concealer) -> str:
    """The type of an error; UDFs choose the names of their classes, and may make them of a document."""
    return kind if not concealer.hidden or kind in ERROR_TYPES else UDF_ERROR


def _stages(
    sample: Sample,
    second: SecondRun,
    selection: Selection,
    concealer: Concealer,
    before: bytes,
    texts: Iterable[bytes],
) -> Iterable[StageShown]:
    conditional, rest, last = _conditional(sample), iter(texts), before
    for entry in second.trace:
        stage = _stage(entry, conditional, concealer)
        if "output" in entry:
            now = next(rest)
            if selection.stages == "full":
                stage.output = msgspec.Raw(now)
            stage.patch = patches.patch(last, now)
            last = now
        yield stage


def _stage(entry: dict[str, Any], conditional: set[str], concealer: Concealer) -> StageShown:
    stage = StageShown(entry["stage"], entry["status"])
    if "duration_ms" in entry:
        stage.ms = round(entry["duration_ms"], 4)
    if "reason" in entry:
        stage.reason = entry["reason"][:MAX_REASON]
    if stage.reason == "if is false":
        stage.condition = False
    elif stage.name in conditional and "duration_ms" in entry:
        stage.condition = True
    if "error" in entry:
        error = entry["error"]
        stage.error = {"type": _type(error["type"], concealer), "reason": _reason(error["reason"], concealer)}
    return stage


def _conditional(sample: Sample) -> set[str]:
    return set(_with_condition([*sample.pipeline.stages, *sample.pipeline.handlers]))


def _with_condition(stages: Iterable[CompiledStage]) -> Iterable[str]:
    for stage in stages:
        if stage.condition is not None:
            yield stage.label
        if isinstance(stage, Composite):
            yield from _with_condition(stage.stages)
        yield from _with_condition(stage.handlers)


def _result_stages(sample: Sample, second: SecondRun, concealer: Concealer) -> list[StageShown]:
    """The stages of a response, by the numbers of hits that each changed; hits themselves are not shown."""
    conditional, found = _conditional(sample), []
    last = _hit_list(sample.text or b"")
    for entry in second.trace:
        stage = _stage(entry, conditional, concealer)
        if "output" in entry:
            now = _hit_list(bytes(entry["output"]))
            if now is not None and last is not None:
                stage.hits = _compared(last, now)
            last = now
        found.append(stage)
    return found


def _hits(before: bytes, after: bytes) -> dict[str, int] | None:
    old, new = _hit_list(before), _hit_list(after)
    return None if old is None or new is None else _compared(old, new)


def _compared(old: list[bytes], new: list[bytes]) -> dict[str, int]:
    kept = {_key(hit): hit for hit in old}
    after = {_key(hit): hit for hit in new}
    changed = sum(1 for key, hit in after.items() if key in kept and not patches.same(kept[key], hit))
    removed, added = sum(key not in after for key in kept), sum(key not in kept for key in after)
    return {"before": len(old), "after": len(new), "removed": removed, "changed": changed, "added": added}


def _key(hit: bytes) -> tuple[bytes, bytes]:
    members = patches.members(hit)
    return members.get("_index", b""), members.get("_id", b"")


def _hit_list(response: bytes) -> list[bytes] | None:
    """The hits of a response, or those of a trace of hits alone; `None` for what is neither."""
    if response[:1] == b"[":
        return patches.elements(response)
    hits = patches.members(response).get("hits", b"")
    listed = patches.members(hits).get("hits", b"") if hits[:1] == b"{" else b""
    return patches.elements(listed) if listed[:1] == b"[" else None
