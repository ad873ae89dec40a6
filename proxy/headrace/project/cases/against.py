"""Runs cases on a target by its trial runs, so that what is stored there can be compared with what cases expect.

A target has its own time and randomness: cases that show them need `ignore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.project.cases.engine import KINDS, Ran
from headrace.project.cases.model import Error, Outcome, Output
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from headrace.client import Client
    from headrace.project.cases.model import Case


class TargetEngine:
    """Runs the stored pipelines and UDFs of a target."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def run(self, case: Case) -> Ran:
        """What the target makes of each input. Raises InvalidError for what it does not have, UnreachableError."""
        from headrace.client import ClientError

        if case.user is not None:
            raise InvalidError("a target knows its own user: a case with [user] runs in the engine only")
        try:
            return Ran([self._outcome(case, each) for each in case.inputs], [], [])
        except ClientError as error:
            raise InvalidError(f"the target answers {error.status}: {error.reason}") from None

    def _outcome(self, case: Case, given: Output) -> Outcome:
        kind, subject = KINDS[case.kind], case.subject
        if subject.kind == "udf":
            scope = "hit" if case.kind == "hit" else kind
            body = {"input": given.source, "parameters": case.params}
            path, params = f"/_udf/{subject.name}/_test", {"type": scope}
            return _of_input(self.client.request("POST", path, params=params, body=body))
        if subject.kind == "pipeline":
            return self._executed(subject.name, case, given)
        return self._attached(case, given, kind)

    def _attached(self, case: Case, given: Output, kind: str) -> Outcome:
        """What runs on an index: the default pipeline, then the final ones of where documents are."""
        index = given.index or case.subject.name
        outcome = Outcome((Output(given.source, index, given.id, given.routing),))
        if (default := self._resolved(index, kind, "default")) is not None:
            outcome = self._executed(default, case, outcome.outputs[0])
        found: list[Output] = []
        for output in outcome.outputs:
            final = self._resolved(output.index or index, kind, "final")
            after = self._executed(final, case, output) if final is not None else Outcome((output,))
            if after.error is not None:
                return after
            found += after.outputs
        return Outcome(tuple(found), outcome.error)

    def _resolved(self, index: str, kind: str, slot: str) -> str | None:
        shown = self.client.request("GET", f"/{index}/_pipeline/_resolve")
        found: dict[str, Any] = shown.get(index, {}).get(kind, {}).get(slot, {})
        return found.get("pipeline")

    def _executed(self, name: str, case: Case, given: Output) -> Outcome:
        kind = KINDS[case.kind]
        params: dict[str, Any] = {"type": kind}
        if kind == "document":
            document = {**given.metadata(), "_source": given.source}
            body = {"docs": [document], "parameters": case.params}
            (answer,) = self.client.pipelines.execute(name, body, **params)["docs"]
            return _of_document(answer, given)
        source = {"hits": {"hits": [given.source]}} if case.kind == "hit" else given.source
        outcome = _of_input(
            dict(self.client.pipelines.execute(name, {"input": source, "parameters": case.params}, **params))
        )
        if case.kind != "hit" or not outcome.outputs:
            return outcome
        return Outcome(tuple(Output(hit) for hit in outcome.outputs[0].source["hits"]["hits"]))


def _of_document(answer: dict[str, Any], given: Output) -> Outcome:
    if "error" in answer:
        return Outcome(error=_error(answer["error"]))
    documents: list[Any] = list(answer["docs"]) if "docs" in answer else [answer["doc"]]
    return Outcome(tuple(_output(each, given) for each in documents if each is not None))


def _output(shown: dict[str, Any], given: Output) -> Output:
    index = shown.get("_index")
    # A trial run calls the index of a document without one `_index`.
    index = given.index if index == "_index" else index
    return Output(shown["_source"], index, shown.get("_id"), shown.get("_routing"))


def _of_input(answer: dict[str, Any]) -> Outcome:
    if answer.get("error"):
        return Outcome(error=_error(answer["error"]))
    if answer.get("filtered"):
        return Outcome()
    output: Any = answer.get("output")
    many: list[Any] = output if "expanded" in answer else [output]
    return Outcome(tuple(Output(each) for each in many))


def _error(fields: dict[str, Any]) -> Error:
    return Error(fields["reason"], fields.get("type", ""), fields.get("status", 0), fields.get("stage", ""))
