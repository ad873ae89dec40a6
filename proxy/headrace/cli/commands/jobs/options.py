"""The options of `headrace backfill`: their forms, and which of them go with each other."""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from headrace.backfill import files
from headrace.cli.errors import ExitCode, Failure


class Options(NamedTuple):
    """The options of the command."""

    source: str | None
    target: str | None
    pipeline: str | None
    same_index: bool
    query: str | None
    diff: bool
    alias: str | None
    mirror: bool | None
    delete_dropped: bool
    resume: str | None
    seize: bool
    replace: bool
    rate: int | None
    latency: int | None
    workers: int | None
    engine: str
    master: str | None
    slices: int | None
    id_field: str | None
    dead_letters: str | None
    folder: str | None
    state: str | None
    proxy: str
    url: str
    cluster: str | None
    report: str | None

    @property
    def at_once(self) -> int:
        """Workers at once."""
        return self.workers or os.cpu_count() or 1


def normal(options: Options) -> Options:
    """The options with one spelling for each path of files: who goes on with a job may be in another folder."""
    source, dead = options.source, options.dead_letters
    return options._replace(
        source=files.normal(source) if source else source,
        dead_letters=files.normal_folder(dead) if dead and files.is_folder(dead) else dead,
    )


def check(options: Options) -> None:
    """Raises Failure for options that are missing, or do not go with each other."""

    def refuse(reason: str, field: str = "") -> None:
        raise Failure(reason, field, code=ExitCode.USAGE)

    if not options.source or not options.pipeline:
        refuse("--source and --pipeline are required, or --resume")
    if not (options.target or options.same_index or options.diff):
        refuse("--target is required, or --in-place, or --diff")
    if options.same_index and (options.target or options.alias or options.mirror):
        refuse("--in-place has no target: leave --target, --swap-alias and --mirror out", "in_place")
    if options.same_index and options.replace:
        refuse("belongs to --target: in place every document that changes is written", "replace")
    if options.folder and options.state:
        refuse("the pipeline comes from one of --dir and --state", "state")
    if options.delete_dropped and not options.same_index:
        refuse("belongs to --in-place: a target never gets what the pipeline drops", "delete_dropped")
    if options.source and files.are_files(options.source) and (options.same_index or options.query or options.mirror):
        refuse("files are read whole: leave --in-place, --query and --mirror out", "source")


def query_of(text: str | None) -> str:
    """The query as JSON. Raises Failure for text that begins like JSON and is none."""
    if not text:
        return ""
    if not text.lstrip().startswith("{"):
        return msgspec.json.encode({"query_string": {"query": text}}).decode()
    try:
        return msgspec.json.format(text.encode(), indent=-1).decode()
    except msgspec.DecodeError as error:
        raise Failure(f"is no JSON: {error}", "query", code=ExitCode.USAGE) from None
