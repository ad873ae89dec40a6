"""Dead letters of writes of one document: `_doc`, `_create` and `_update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.execution.dead_letters import policy
from headrace.execution.dead_letters.bulk import Error, answered
from headrace.execution.dead_letters.keeping import keep
from headrace.protocol import parameters
from headrace.protocol.indices.dead_letter_record import DeadLetter, Fault

if TYPE_CHECKING:
    from headrace.server.request import RequestContext
    from headrace.upstream.client import Answer
    from headrace_pipelines.definition import DeadLetters

_OF_DOCUMENTS = frozenset(
    {"mapper_parsing_exception", "strict_dynamic_mapping_exception", "document_parsing_exception", "mapper_exception"}
)
"""Types of errors of the cluster that only documents cause."""
_MAYBE = "illegal_argument_exception"
"""The type of errors of documents, such as a limit of fields, and of requests."""
_OURS = frozenset({*parameters.COMMON, *parameters.OURS, "explain_pipelines"})


class Reply(NamedTuple):
    """The answer for a document that is a dead letter."""

    status: int
    body: dict[str, Any]


class _Refusal(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"{}")


@dataclass(frozen=True)
class SingleWrite:
    """The document of a request; `original`: its body as it came; `label`: of the chosen pipeline, if there is one."""

    context: RequestContext
    letters: DeadLetters | None
    op: str
    original: bytes
    named: str | None = None
    label: str = ""

    @property
    def watches(self) -> bool:
        """Whether what the cluster refuses may become a dead letter."""
        return self.letters is not None and "mapping" in self.letters.on

    async def failed(self, failure: tuple[int, str, str, str, str]) -> Reply | None:
        """The reply where a stage failed; `None`: the document is no dead letter."""
        status, type_, reason, label, stage = failure
        error = {"type": type_, "reason": reason, "pipeline": label, "stage": stage}
        shown = {name: value for name, value in error.items() if value or name in ("type", "reason")}
        return await self._reply(Fault("pipeline", status, type_, reason, label or self.label, stage), shown)

    async def refused(self, answer: Answer) -> Reply | None:
        """The reply where the cluster refused the document for good; `None`: it is no dead letter."""
        surface = parameters.SURFACES["update" if self.op == "update" else "index"]
        unknown = self.context.target.values.keys() - surface - _OURS
        if answer.status not in policy.PERMANENT or not answer.json or unknown:
            # With an unknown parameter the request is at fault, not its document.
            return None
        try:
            raw = msgspec.json.decode(answer.body, type=_Refusal).error
            found, shown = msgspec.json.decode(raw, type=Error), msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.MsgspecError:
            return None
        if found.type not in _OF_DOCUMENTS and found.type != _MAYBE:
            return None
        return await self.item(answer.status, found, shown)

    async def item(self, status: int, found: Error, shown: dict[str, Any], parts: int = 1) -> Reply | None:
        """The reply where the cluster refused the item of a bulk; `shown`: its error, `parts`: its documents."""
        return await self._reply(Fault("mapping", status, found.type, found.text, self.label), shown, parts)

    async def _reply(self, fault: Fault, error: dict[str, Any], parts: int = 1) -> Reply | None:
        context = self.context
        own = policy.of_failed(context.snapshot, fault.pipeline) if fault.cause == "pipeline" else None
        letters = self.letters if own is None else policy.allowed(context, own)
        if letters is None or fault.status not in policy.PERMANENT or fault.cause not in letters.on:
            return None
        routing, params = context.target.get("routing"), context.params
        letter = DeadLetter(
            letters, self.op, params["index"], self.original, fault, params.get("id"), routing, self.named, parts
        )
        (keeping,) = await keep(context, [letter])
        about = answered({"status": fault.status, "error": error}, letter, keeping)
        status = about.pop("status")
        if "error" not in about:
            return Reply(status, about)
        shown = {"root_cause": [about["error"]]} | about["error"]
        return Reply(status, {**about, "error": shown, "status": status})
