"""Random pipelines: the executor does to every document of a batch what an obvious, slow one does to it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from headrace_pipelines import Batch, Bulk, Deadline, RunOptions, Snapshot, execute
from headrace_pipelines.definition import decode
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.stats import shown
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native, ndjson, without

documents = st.fixed_dictionaries(
    {}, optional={"a": st.sampled_from(["X", "y", 5, None]), "n": st.integers(0, 3), "t": st.just("T")}
)
conditions = st.sampled_from(
    ["doc.n == 1", "doc.a == null", "doc.a == 'X'", "has(doc.t)", "doc.n > 1", "ctx.on_failure != null"]
)
batches = st.one_of(st.lists(documents, min_size=1, max_size=6), st.lists(documents, min_size=16, max_size=24))
"""What is made of many documents is kept otherwise than what is made of few."""


def evaluate(condition: str, document: dict[str, Any], failure: Any) -> bool:
    """Raises TypeError where CEL has no such comparison."""
    match condition:
        case "doc.n == 1":
            return document.get("n") == 1
        case "doc.a == null":
            return document.get("a") is None
        case "doc.a == 'X'":
            return document.get("a") == "X"
        case "has(doc.t)":
            return "t" in document
        case "doc.n > 1":
            return document.get("n") > 1  # None > 1 is an error, as it is in CEL
        case _:
            return failure is not None


@st.composite
def stages(draw: Any, depth: int = 0) -> dict[str, Any]:
    kind = draw(st.sampled_from(["set", "lower", "fail", "drop", "remove", *(["composite"] * (depth < 2))]))
    stage: dict[str, Any] = {
        "set": lambda: native(
            "", "set", field=draw(st.sampled_from(["a", "z"])), value=draw(st.sampled_from(["V", 7]))
        ),
        "lower": lambda: native("", "lowercase", field="a"),
        "fail": lambda: native("", "fail", message="no"),
        "drop": lambda: native("", "drop"),
        "remove": lambda: native("", "remove", field="t"),
        "composite": lambda: {"name": "", "type": "composite", "config": {"stages": draw(lists(depth + 1))}},
    }[kind]()
    if kind in ("fail", "drop") or draw(st.booleans()):
        stage["if"] = draw(conditions)
    policy = draw(st.sampled_from([None, None, "abort", "continue", "list", "retry"]))
    if policy == "list" and depth < 2:
        stage["on_failure"] = draw(lists(depth + 1))
    elif policy in ("abort", "continue"):
        stage["on_failure"] = policy
    elif policy == "retry":
        stage["retry"] = {"max_attempts": 2, "initial_delay": "1micros"}
    if draw(st.integers(0, 9)) == 0:
        stage["enabled"] = False
    return stage


@st.composite
def lists(draw: Any, depth: int = 0) -> list[dict[str, Any]]:
    found = draw(st.lists(stages(depth), min_size=1, max_size=3))
    return [{**stage, "name": f"s{i}"} for i, stage in enumerate(found)]


@st.composite
def pipelines(draw: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "p", "version": "1", "type": "document", "stages": draw(lists())}
    policy = draw(st.sampled_from([None, "abort", "continue", "list"]))
    if policy == "list":
        made["on_failure"] = draw(lists(1))
    elif policy:
        made["on_failure"] = policy
    return made


class Failed(Exception):
    """The document's way has ended in an error."""


class Dropped(Exception):
    """The document is gone."""


@dataclass
class Reference:
    """One document on its way, by the book (docs/reference/pipelines.md)."""

    document: dict[str, Any]
    failure: Any = None

    def run(self, pipeline: dict[str, Any]) -> Any:
        policy = pipeline.get("on_failure")
        try:
            self.guarded(pipeline["stages"], "abort" if isinstance(policy, list) else policy or "abort", policy)
        except Failed:
            return "failed"
        except Dropped:
            return "dropped"
        return self.document

    def guarded(self, stages: list[dict[str, Any]], policy: str, handlers: Any) -> None:
        """Stages whose failure ends them, and what handles it."""
        try:
            self.each(stages, policy)
        except Failed:
            self.handle(handlers)

    def handle(self, handlers: Any) -> None:
        if not isinstance(handlers, list):
            raise Failed
        self.failure = True
        self.each(handlers, "abort")
        self.failure = None

    def each(self, stages: list[dict[str, Any]], policy: str) -> None:
        for stage in stages:
            if stage.get("enabled", True):
                self.stage(stage, policy)

    def stage(self, stage: dict[str, Any], policy: str) -> None:
        own = stage.get("on_failure")
        mine = "abort" if isinstance(own, list) else own or policy
        inside = False
        try:
            if "if" in stage:
                try:
                    if not evaluate(stage["if"], self.document, self.failure):
                        return
                except TypeError:
                    raise Failed from None
            if stage["type"] == "composite":
                inside = True
                self.each(stage["config"]["stages"], mine)
            else:
                self.work(stage["config"]["function"], stage["config"]["parameters"])
        except Failed:
            if isinstance(own, list):
                self.handle(own)
            elif mine == "abort" or inside:  # the stages inside have a composite's policy, or one of their own
                raise

    def work(self, function: str, parameters: dict[str, Any]) -> None:
        document = self.document
        match function:
            case "set":
                document[parameters["field"]] = parameters["value"]
            case "lowercase":
                if not isinstance(document.get("a"), str):
                    raise Failed
                document["a"] = document["a"].lower()
            case "remove":
                if "t" not in document:
                    raise Failed
                del document["t"]
            case "drop":
                raise Dropped
            case "fail":
                raise Failed


def run(pipeline: dict[str, Any], batch: list[dict[str, Any]], *, trace: bool = False) -> tuple[Batch, dict[str, Any]]:
    """The documents after the pipeline, and its statistics without times."""
    made = compile_pipeline(decode(json.dumps(pipeline).encode()), Snapshot(), Catalog())
    lines = [line for document in batch for line in ({"index": {"_index": "i"}}, document)]
    done = Bulk(ndjson(*lines)).batch([0])
    execute(made, done, Deadline(30), RunOptions(trace=trace))
    return done, without(shown(made.stats.dump()), "duration", "time", "last_executed")


@given(pipelines(), batches)
def test_every_document_goes_the_way_it_would_go_alone(pipeline: dict[str, Any], batch: list[dict[str, Any]]):
    together, _ = run(pipeline, batch)
    for i, document in enumerate(batch):
        state, failure = together.outcome(i)
        found = json.loads(together.document(i)) if state == "live" else state
        assert found == Reference(json.loads(json.dumps(document))).run(pipeline), failure


CHANGED_THEN_DROPPED = {
    "name": "p",
    "version": "1",
    "type": "document",
    "stages": [
        {"name": "s0", "type": "native", "config": {"function": "lowercase", "parameters": {"field": "a"}}},
        {"name": "s1", "type": "native", "config": {"function": "drop", "parameters": {}}, "if": "has(doc.t)"},
    ],
}


@example(CHANGED_THEN_DROPPED, [{}] * 15 + [{"a": "X", "t": "T"}])
@given(pipelines(), batches)
def test_stages_that_run_together_do_and_count_what_they_do_one_by_one(
    pipeline: dict[str, Any], batch: list[dict[str, Any]]
):
    (together, counted), (traced, expected) = run(pipeline, batch), run(pipeline, batch, trace=True)
    assert [together.outcome(i) for i in range(len(batch))] == [traced.outcome(i) for i in range(len(batch))]
    assert [together.document(i) for i in range(len(batch))] == [traced.document(i) for i in range(len(batch))]
    assert counted == expected
