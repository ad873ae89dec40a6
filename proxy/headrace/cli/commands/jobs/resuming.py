"""Going on with a job: what its record says, what is left to do, and the command that does it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from headrace.backfill import passes
from headrace.cli.commands.jobs.options import query_of
from headrace.cli.errors import ExitCode, Failure
from headrace.cli.output import note

if TYPE_CHECKING:
    from headrace.backfill.cluster.journal import Journal
    from headrace.backfill.cluster.link import Link
    from headrace.backfill.cluster.records import JobRecord
    from headrace.cli.commands.jobs.options import Options

OF_THE_COMMAND = frozenset({"resume", "seize", "diff"})
"""Options of a command that say nothing about a job that goes on."""
PATHS = frozenset({"folder", "state", "report"})
"""Options that are paths of this machine: the next command may run in another folder."""


def others_wait(seconds: float) -> None:
    """Says that a job waits before it sets a setting of an index back."""
    note(f"other jobs need settings of the indexes, too: for {seconds:.0f} s they are watched for signs of processes")


class Ended(NamedTuple):
    """A job that has nothing left to run."""

    link: Link
    journal: Journal

    def run(self, _: object) -> JobRecord:
        """The record of the job. Raises ClientError, UnreachableError, ConflictError."""
        record = self.journal.record
        if record.state != "done":
            try:
                return passes.finish(self.link, self.journal, others_wait)
            except BaseException as error:
                self.journal.fail(error)
                raise
        note(f"the job [{record.job}] is done: a new one with the same source and target brings what is new")
        return record


def ended(link: Link, journal: Journal) -> Ended | None:
    """The job where nothing of it may run again; raises Failure where somebody has switched its alias.

    Clients write to the target then: what the source lacks would be deleted there. Raises ClientError.
    """
    record = journal.record
    if record.state == "done" or passes.switched(link, record):
        return Ended(link, journal)
    if passes.overtaken(link, record):
        raise Failure(
            f"the alias [{record.alias}] names [{record.target}] by now, in place of the source",
            "resume",
            "start a new job from the index that the alias had: it deletes nothing that clients have written since",
            ExitCode.CONFLICT,
        )
    return None


def stored_of(record: JobRecord) -> dict[str, Any]:
    """The options that a record has."""
    return {
        "source": record.source,
        "target": None if record.same_index else record.target,
        "pipeline": record.pipeline,
        "query": record.query or None,
        "alias": record.alias or None,
        "mirror": record.mirror,
        "dead_letters": record.stream,
        "slices": record.slices or None,
        "id_field": record.id_field or None,
        "same_index": record.same_index,
        "delete_dropped": record.delete_dropped,
        "replace": record.replace,
    }


def resumed(options: Options, record: JobRecord) -> Options:
    """The options with those of the record. Raises Failure for one that says something else."""
    options = options._replace(query=query_of(options.query) or None)
    stored = stored_of(record)
    for name, value in stored.items():
        asked = getattr(options, name)
        # A switch that is off says nothing; `--no-mirror` does.
        if asked in (None, value) or (asked is False and value is True and name != "mirror"):
            continue
        reason = "the job began without it" if isinstance(asked, bool) else f"the job has [{value}], not [{asked}]"
        raise Failure(reason, name, "leave it out, or start a new job", ExitCode.USAGE)
    return options._replace(**stored)


def command_of(record: JobRecord) -> str:
    """The command that goes on with a job as this one ran it: with all options that the record does not have."""
    words = ["headrace", "backfill", "--resume", record.job]
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        name = parameter.name or ""
        if name in stored_of(record) or name in OF_THE_COMMAND:
            continue
        if context is None or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        words.append(max(parameter.opts, key=len))
        if value is not True:
            words.append(str(Path(value).absolute()) if name in PATHS else str(value))
    return shlex.join(words)
