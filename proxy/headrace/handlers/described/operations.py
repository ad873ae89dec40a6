"""What each endpoint of ours does, reads and answers: one row for each row of the table of routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.execution.taps.selection import Selection
from headrace.handlers.admin.pipelines import ImportRequest, TrialRequest
from headrace.handlers.admin.sets.endpoints import RollbackRequest
from headrace.handlers.admin.sets.request import SetRequest
from headrace.handlers.admin.trials.fit import FitAnswer, FitRequest, UnfitAnswer
from headrace.handlers.admin.trials.scan import ScanAnswer, ScanRequest
from headrace.handlers.admin.udfs import UdfTrialRequest
from headrace.handlers.described import answers, dead_letter_answers, proxy_answers, set_answers, udf_answers
from headrace.handlers.described.rollout_answers import RolloutShown
from headrace.handlers.described.udf_answers import UdfSource
from headrace.handlers.write.dead_letters import RedriveRequest
from headrace_pipelines.registry.rollouts.record import RolloutSpec

TEXT, PROMETHEUS = "text/plain", "text/plain; version=0.0.4"
STREAMS = ("application/x-ndjson", "text/event-stream")
"""Media types of answers that come line by line."""
CODE = ("application/wasm", "text/x-wat", "text/x-python", "text/javascript", "application/javascript")
"""Media types of the code of a UDF."""


@dataclass(frozen=True)
class Operation:
    """An operation; `query` has names of `PARAMETERS`.

    `answer`: the type of a success, or one of several. `body`: that of the request, or the name of a component.
    `texts`: media types of a success that is no JSON. `optional`: the request may come without its body.
    """

    tag: str
    summary: str
    answer: Any = answers.Acknowledged
    statuses: tuple[int, ...] = (200,)
    query: tuple[str, ...] = ()
    body: Any = None
    optional: bool = False
    texts: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Parameter:
    """A query parameter."""

    description: str
    schema: dict[str, Any]
    required: bool = False


_STRING: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"enum": ["true", "false", ""]}
_KINDS: dict[str, Any] = {"enum": ["document", "query", "result"]}
_VERSION = Parameter("The version; default: the one in force.", _STRING)
_FORCE = Parameter("Whether an object of a set may be changed by hand.", _FLAG)
PARAMETERS: dict[str, Parameter] = {
    "version": _VERSION,
    "new_version": Parameter("The version of bare code; default: the next number.", _STRING),
    "version!": Parameter("The version.", _STRING, required=True),
    "type": Parameter("The type of the pipeline, where several have the name.", _KINDS),
    "type:udf": Parameter("What the UDF runs as; default: document.", {"enum": [*_KINDS["enum"], "hit"]}),
    "type:list": Parameter("Only pipelines of this type.", _KINDS),
    "enabled": Parameter("Only pipelines that run, or that do not.", {"enum": ["true", "false"]}),
    "activate": Parameter("Whether the stored version becomes the active one; default: true.", _FLAG),
    "force": _FORCE,
    "category": Parameter("Only UDFs of this category.", _STRING),
    "author": Parameter("Only UDFs of this author.", _STRING),
    "language": Parameter("Only UDFs in this language.", _STRING),
    "tag": Parameter("Only UDFs with this tag.", _STRING),
    "format:source": Parameter("The code in JSON.", {"enum": ["json"]}),
    "lines": Parameter("The number of lines.", {"type": "integer", "minimum": 0, "maximum": 200, "default": 200}),
    "follow": Parameter("Whether further lines are sent as they come, for ten minutes.", _FLAG),
    "set": Parameter("The name of a set.", _STRING),
    "set!": Parameter("The name of the set.", _STRING, required=True),
    "revision!": Parameter("The number of a kept revision.", {"type": "integer", "minimum": 0}, required=True),
    "pipeline": Parameter("Only pipelines of this name: `[type:]name[@version]`.", _STRING),
    "index": Parameter("Only documents for this index; `*` for any characters.", _STRING),
    "pipeline:dead": Parameter("Only documents that met this pipeline.", _STRING),
    "since": Parameter("Only records since this time, or of a duration such as `1h`.", _STRING),
    "stream": Parameter("The stream of dead letters; default `headrace-dead-letters`.", _STRING),
    "size": Parameter("The most records of the answer.", {"type": "integer", "minimum": 1, "maximum": 1000}),
    "group!": Parameter("The group whose records are deleted.", _STRING, required=True),
    "minutes": Parameter("The number of minutes, 120 at most.", {"type": "integer", "minimum": 1, "maximum": 120}),
    "h": Parameter("The columns, separated by commas.", _STRING),
    "s": Parameter("The columns that rows are sorted by, separated by commas; `:desc` behind one turns it.", _STRING),
    "v": Parameter("Whether the table has a heading.", _FLAG),
    "help": Parameter("Whether the columns are described in place of the table.", _FLAG),
    "format:cat": Parameter("`json` or `yaml` in place of a table.", {"enum": ["text", "json", "yaml"]}),
}
"""Query parameters. Behind `:` and `!` stands which of several of that name is meant; `new_version` is a `version`."""

_PIPELINE, _ASSOCIATION, _UDF, _SET, _PROXY, _CAT = "Pipelines", "Associations", "UDFs", "Sets", "Proxy", "Tables"
_DEAD = "Dead letters"
_ROWS = ("h", "s", "v", "help", "format:cat")
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/_pipeline"): Operation(_PIPELINE, "List pipelines", answers.PipelineList, query=("type:list", "enabled")),
    ("GET", "/_pipeline/_stats"): Operation(_PIPELINE, "Count what pipelines did", answers.AllStatistics),
    ("POST", "/_pipeline/_execute"): Operation(
        _PIPELINE, "Try a definition", (answers.Trial, answers.DocumentTrials), body=TrialRequest
    ),
    ("POST", "/_pipeline/_import"): Operation(
        _PIPELINE,
        "Convert a pipeline of the cluster",
        answers.PipelinesImported,
        (200, 201),
        ("activate", "force"),
        ImportRequest,
    ),
    ("POST|PUT", "/_pipeline/{name}"): Operation(
        _PIPELINE,
        "Store a version of a pipeline",
        answers.PipelineStored,
        (200, 201),
        ("activate", "force"),
        body="Pipeline",
        description="201: the version is stored and active. 200: the same content is stored already.",
    ),
    ("GET", "/_pipeline/{name}"): Operation(
        _PIPELINE, "Show a pipeline", answers.PipelineShown, query=("version", "type")
    ),
    ("DELETE", "/_pipeline/{name}"): Operation(
        _PIPELINE, "Delete a pipeline, or one version of it", query=("version", "type", "force")
    ),
    ("GET", "/_pipeline/{name}/_versions"): Operation(
        _PIPELINE, "List the versions of a pipeline", answers.PipelineVersions, query=("type",)
    ),
    ("POST", "/_pipeline/{name}/_activate"): Operation(
        _PIPELINE, "Make a version active", answers.PipelineActivated, query=("version!", "type", "force")
    ),
    ("PUT", "/_pipeline/{name}/_rollout"): Operation(
        _PIPELINE, "Start a rollout of a version", RolloutShown, (201,), ("type",), RolloutSpec
    ),
    ("GET", "/_pipeline/{name}/_rollout"): Operation(
        _PIPELINE, "Show the newest rollout of a pipeline", RolloutShown, query=("type",)
    ),
    ("POST", "/_pipeline/{name}/_promote"): Operation(
        _PIPELINE, "Make the candidate of a rollout active", RolloutShown, query=("type", "force")
    ),
    ("POST", "/_pipeline/{name}/_abort"): Operation(_PIPELINE, "End a rollout", RolloutShown, query=("type",)),
    ("POST", "/_pipeline/{name}/_pause"): Operation(
        _PIPELINE, "Keep the percentage of a rollout", RolloutShown, query=("type",)
    ),
    ("POST", "/_pipeline/{name}/_resume"): Operation(
        _PIPELINE, "Have the step of a rollout go on", RolloutShown, query=("type",)
    ),
    ("POST", "/_pipeline/{name}/_execute"): Operation(
        _PIPELINE,
        "Try a stored pipeline",
        (answers.Trial, answers.DocumentTrials),
        query=("version", "type"),
        body=TrialRequest,
    ),
    ("GET", "/_pipeline/{name}/_stats"): Operation(
        _PIPELINE, "Count what a pipeline did", answers.PipelineStatistics, query=("version", "type")
    ),
    ("GET", "/_pipeline/_association"): Operation(_ASSOCIATION, "List associations", answers.AssociationList),
    ("PUT|POST", "/_pipeline/_association/{pattern}"): Operation(
        _ASSOCIATION,
        "Attach pipelines to all indexes whose names match",
        answers.AssociationStored,
        (200, 201),
        ("force",),
        body="Association",
    ),
    ("GET", "/_pipeline/_association/{pattern}"): Operation(
        _ASSOCIATION, "Show an association", answers.AssociationShown
    ),
    ("DELETE", "/_pipeline/_association/{pattern}"): Operation(_ASSOCIATION, "Remove an association", query=("force",)),
    ("GET", "/{index}/_pipeline"): Operation(
        _ASSOCIATION, "Show what is attached to indexes by name", dict[str, answers.Attached]
    ),
    ("GET", "/{index}/_pipeline/_resolve"): Operation(
        _ASSOCIATION, "Show the pipelines that would run, and why", dict[str, answers.Resolution]
    ),
    ("POST", "/{index}/_pipeline/_scan"): Operation(
        _PIPELINE,
        "Count personal data and secrets in a sample of an index",
        ScanAnswer,
        body=ScanRequest,
        optional=True,
        description="What the built-in `redact` finds, by detector and field; no values.",
    ),
    ("POST", "/{index}/_pipeline/_fit"): Operation(
        _PIPELINE,
        "Show what does not fit the mapping of an index",
        FitAnswer,
        body=FitRequest,
        description="What the built-in `fit_mapping` would do with documents; nothing is written.",
    ),
    ("GET", "/{index}/_pipeline/_unfit"): Operation(
        _PIPELINE, "Count values that did not fit the mapping of an index", UnfitAnswer
    ),
    ("GET", "/_udf"): Operation(
        _UDF, "List UDFs", udf_answers.UdfList, query=("category", "author", "language", "tag")
    ),
    ("POST|PUT", "/_udf/{name}"): Operation(
        _UDF,
        "Store a version of a UDF",
        udf_answers.UdfStored,
        (200, 201),
        ("new_version", "force"),
        body="UdfUpload",
        description="The body is a manifest with the code, or the bare code in its own media type.",
    ),
    ("GET", "/_udf/{name}"): Operation(_UDF, "Show a UDF", udf_answers.UdfShown, query=("version",)),
    ("DELETE", "/_udf/{name}"): Operation(_UDF, "Delete a UDF, or one version of it", query=("version", "force")),
    ("GET", "/_udf/{name}/_versions"): Operation(_UDF, "List the versions of a UDF", udf_answers.UdfVersions),
    ("GET", "/_udf/{name}/_source"): Operation(
        _UDF, "Show the code of a UDF", UdfSource, query=("version", "format:source"), texts=(*CODE[:4], TEXT)
    ),
    ("GET", "/_udf/{name}/_stats"): Operation(
        _UDF, "Count what a UDF did", udf_answers.UdfStatistics, query=("version",)
    ),
    ("GET", "/_udf/{name}/_logs"): Operation(
        _UDF,
        "Show the last lines that a UDF has logged",
        udf_answers.UdfLogs,
        query=("lines", "follow"),
        texts=STREAMS,
        description="For administrators: lines may quote documents. With `follow` the answer is a stream of lines.",
    ),
    ("POST", "/_udf/{name}/_test"): Operation(
        _UDF, "Try a UDF", answers.Trial, query=("version", "type:udf"), body=UdfTrialRequest
    ),
    ("POST", "/_registry/_diff"): Operation(
        _SET, "Show what applying a set would change", set_answers.Changes, body=SetRequest
    ),
    ("POST", "/_registry/_apply"): Operation(
        _SET, "Bring a set in force as a whole", set_answers.Changes, body=SetRequest
    ),
    ("POST", "/_registry/_rollback"): Operation(
        _SET,
        "Bring an earlier revision in force again",
        set_answers.Changes,
        query=("set!", "revision!"),
        body=RollbackRequest,
        optional=True,
    ),
    ("GET", "/_registry/_revisions"): Operation(
        _SET, "List the revisions of a set, or all sets", (set_answers.Revisions, set_answers.SetList), query=("set",)
    ),
    ("GET", "/_registry/_export"): Operation(
        _SET, "Show a set in the form in which it is applied", set_answers.Exported, query=("set",)
    ),
    ("GET", "/_dead_letters"): Operation(
        _DEAD,
        "List dead letters by what failed",
        dead_letter_answers.Groups,
        query=("index", "pipeline:dead", "since", "stream"),
    ),
    ("DELETE", "/_dead_letters"): Operation(
        _DEAD, "Delete the records of a group", dead_letter_answers.Dropped, query=("group!", "stream")
    ),
    ("POST", "/_dead_letters/_redrive"): Operation(
        _DEAD,
        "Send documents again, or try that",
        (dead_letter_answers.Redrive, dead_letter_answers.DryRun),
        (200, 202),
        ("stream",),
        RedriveRequest,
        description="202: a task has begun or goes on. 200: a dry run has ended.",
    ),
    ("GET", "/_dead_letters/_redrive/{task}"): Operation(
        _DEAD, "Show how far a redrive is", dead_letter_answers.Redrive, query=("stream",)
    ),
    ("GET", "/_dead_letters/{id}"): Operation(
        _DEAD, "Show a record, or those of a group", dead_letter_answers.Records, query=("size", "stream")
    ),
    ("GET", "/_cat/pipelines"): Operation(
        _CAT, "Pipelines as a table", list[proxy_answers.PipelineRow], query=_ROWS, texts=(TEXT,)
    ),
    ("GET", "/_cat/udfs"): Operation(_CAT, "UDFs as a table", list[proxy_answers.UdfRow], query=_ROWS, texts=(TEXT,)),
    ("GET", "/_proxy/health/live"): Operation(_PROXY, "Say that the process answers", proxy_answers.Alive),
    ("GET", "/_proxy/health/ready"): Operation(
        _PROXY, "Say whether traffic can be served", proxy_answers.Readiness, (200, 503)
    ),
    ("GET", "/_proxy/info"): Operation(_PROXY, "Show versions and settings", proxy_answers.Information),
    ("POST", "/_proxy/reload"): Operation(_PROXY, "Read the settings again", proxy_answers.Reloaded),
    ("POST", "/_proxy/tap"): Operation(
        _PROXY,
        "Watch documents, queries and results change",
        None,
        body=Selection,
        optional=True,
        texts=STREAMS,
        description="For administrators, of indexes that they may read. A line for each input, and one with counts.",
    ),
    ("GET", "/_proxy/metrics"): Operation(_PROXY, "Metrics in the format of Prometheus", None, texts=(PROMETHEUS,)),
    ("GET", "/_proxy/quotas"): Operation(
        _PROXY, "List the quotas and what they refused", proxy_answers.QuotasShown, description="For administrators."
    ),
    ("GET", "/_proxy/stats"): Operation(
        _PROXY, "Count what was done since the start", proxy_answers.Totals, query=("pipeline",)
    ),
    ("GET", "/_proxy/stats/history"): Operation(
        _PROXY, "Count what was done in each of the last minutes", proxy_answers.History, query=("pipeline", "minutes")
    ),
    ("GET", "/_proxy/openapi.json"): Operation(_PROXY, "This description", dict[str, Any]),
}
