"""`headrace udf`: write, check, test and upload user-defined functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import REMOTE, STREAM_OUTPUT, command
from headrace.cli.errors import Failure
from headrace.cli.output import confirm, emit, emit_data, note, output_option, printable
from headrace.cli.target import completed, target_options, udf_names

if TYPE_CHECKING:
    from headrace.client import Client

NAME = click.argument("name", shell_complete=completed(udf_names))
FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
VERSION = click.option("--version", help="A version; the latest without it.")
STATS_COLUMNS = {
    "version": "version",
    "runs": "executions",
    "documents": "documents_in",
    "failed": "failures",
    "p50 ms": "p50_duration_ms",
    "p99 ms": "p99_duration_ms",
    "fuel": "fuel",
    "memory": "memory_peak_bytes",
}
LIST_COLUMNS = {"name": "name", "version": "version", "language": "language", "description": "description"}


@click.group(short_help="Write, test and upload user-defined functions.")
def udf() -> None:
    """Writes, checks, tests and uploads user-defined functions (UDFs)."""


LANGUAGES = ("python", "js", "rust", "c", "go", "tinygo", "as", "wat")


@command(
    "Write a UDF and its cases to begin with.",
    example="headrace udf new titles\nheadrace udf new titles --lang rust",
    group=udf,
)
@click.argument("name")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Its language; that of the ending of NAME, or Python.")
def new(name: str, lang: str | None) -> None:
    """Every language gets the same UDF and the same cases. `as` is AssemblyScript."""
    from headrace.project.tools import templates

    for path in templates.write(name, lang or "", Path.cwd()):
        click.echo(path.name)


@command(
    "Compile a source to WebAssembly.",
    example="headrace udf build titles.rs\nheadrace udf build titles.go --tinygo",
    group=udf,
)
@FILE
@click.option("--tinygo", is_flag=True, help="Compile Go with TinyGo: smaller and faster modules.")
def build(file: Path, tinygo: bool) -> None:
    """Calls the toolchain of the language (zig or clang, rustc, go, asc), and checks the module.

    Python, JavaScript and WAT need no build.
    """
    from headrace.project import udf_file
    from headrace.project.tools import build as builds

    output = builds.build(file, tinygo=tinygo)
    udf_file.load(output)
    click.echo(f"{output}: {output.stat().st_size} bytes")


@command(
    "Pack a UDF into one file.",
    example="headrace udf package titles.py\nheadrace udf put titles.udf.zip",
    group=udf,
)
@FILE
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="The file; NAME.udf.zip without it.")
def package(file: Path, to: Path | None) -> None:
    """The file holds the manifest, the code with its SHA-256, the cases and the README.md beside it."""
    from headrace.project import udf_file
    from headrace.project.tools import package as packages

    loaded = udf_file.load(file)
    output = to or file.with_name(f"{loaded.manifest.name}{packages.ENDING}")
    digest = packages.write(file, loaded, output)
    click.echo(f"{output}  {digest}")


@command("Compile a UDF as the proxy does.", example="headrace udf check titles.py", group=udf)
@FILE
def check(file: Path) -> None:
    """Needs no proxy. An error has the line of the code."""
    from headrace.project import udf_file

    udf_file.load(file)
    click.echo(f"{file}: ok")


@command(
    "Run the cases of a UDF.", example="headrace udf test titles.py\nheadrace udf test titles.py --update", group=udf
)
@FILE
@click.option("--update", is_flag=True, help="Write the outputs as what is expected.")
def test(file: Path, update: bool) -> int:
    """The cases are in NAME.cases.json beside the code. Needs no proxy."""
    import json

    from headrace.project import udf_file

    loaded, path = udf_file.load(file), udf_file.cases_of(file)
    cases = udf_file.read_cases(path)
    failed = sum(not _passes(loaded, case, update=update) for case in cases)
    if update:
        path.write_text(json.dumps(cases, indent=2) + "\n")
    click.echo(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _passes(loaded: Any, case: dict[str, Any], *, update: bool) -> bool:
    """Runs a case and prints its line; with `update` an output that differs becomes the expected one."""
    import json

    from headrace.project import udf_file

    found, logs = udf_file.run(loaded, case)
    for line in logs:
        click.echo(f"        | {line}")
    name = case.get("name", "")
    if udf_file.fits(found, case.get("expected")):
        click.echo(f"  {click.style('ok', fg='green')}    {name}")
        return True
    if update:
        case["expected"] = found
        click.echo(f"  new   {name}")
        return True
    click.echo(f"  {click.style('FAIL', fg='red')}  {name}")
    click.echo(f"        expected {json.dumps(case.get('expected'))}\n        found    {json.dumps(found)}")
    return False


@command(
    "Upload a UDF.",
    example="headrace udf put titles.py\nheadrace udf put shout.wasm --name shout",
    exits=REMOTE,
    group=udf,
)
@FILE
@click.option("--name", help="Its name; that of the file without it.")
@click.option("--version", help="Its version; the next number without it.")
@click.option("--force", is_flag=True, help="Change what a set from git manages.")
@output_option
@target_options
def put(client: Client, file: Path, name: str | None, version: str | None, force: bool, output: str) -> None:
    """Compiles the code first, so that an error shows before anything is sent."""
    from headrace.project import udf_file
    from headrace.project.tools import package as packages

    loaded = packages.read(file) if file.name.endswith(packages.ENDING) else udf_file.load(file)
    name = name or loaded.manifest.name
    _require_language(client, name, loaded.manifest.language)
    params: dict[str, Any] = {"version": version} | ({"force": True} if force else {})
    stored = client.udfs.put(name, loaded.body or loaded.code, media_type=loaded.media_type, **params)
    if output == "table":
        click.echo(f"{stored['name']}@{stored['version']}  {stored['digest']}")
    else:
        emit([dict(stored)], {"name": "name"}, output, stored)


def _require_language(client: Client, name: str, language: str) -> None:
    """Raises Failure where the name is that of a UDF in another language: its pipelines would run this code."""
    from headrace.client import ClientError

    try:
        stored = client.udfs.get(name)
    except ClientError as error:
        if error.status == 404:
            return
        raise
    if stored["language"] != language:
        raise Failure(
            f"the UDF [{name}] is written in {stored['language']}, and this file in {language}",
            hint="choose another --name, or delete that UDF first",
        )


@command(
    "List the UDFs.",
    example="headrace udf list\nheadrace udf list --language python",
    name="list",
    exits=REMOTE,
    group=udf,
)
@click.option("--language", help="Only those in this language.")
@click.option("--tag", help="Only those with this tag.")
@output_option
@target_options
def list_(client: Client, language: str | None, tag: str | None, output: str) -> None:
    """Shows the latest version of each."""
    found = client.udfs.list(language=language, tag=tag)
    emit(found["udfs"], LIST_COLUMNS, output, found)


@command("Print the manifest of a UDF.", example="headrace udf get titles", exits=REMOTE, group=udf)
@NAME
@VERSION
@output_option
@target_options
def get(client: Client, name: str, version: str | None, output: str) -> None:
    """Prints YAML, or JSON with `-o json`."""
    found = client.udfs.get(name, version=version)
    if output == "name":
        click.echo(found["name"])
    else:
        emit_data(found, "json" if output == "json" else "yaml")


@command("List the versions of a UDF.", example="headrace udf versions titles", exits=REMOTE, group=udf)
@NAME
@output_option
@target_options
def versions(client: Client, name: str, output: str) -> None:
    """Shows when each was stored, and its digest."""
    found = client.udfs.versions(name)
    emit(found["versions"], {"version": "version", "created": "created", "digest": "digest"}, output, found)


@command("Print the code of a UDF.", example="headrace udf source titles > titles.py", exits=REMOTE, group=udf)
@NAME
@VERSION
@target_options
def source(client: Client, name: str, version: str | None) -> None:
    """Writes a compiled module as bytes."""
    import base64

    found = client.udfs.source(name, version=version)
    if "wasm" in found:
        sys.stdout.buffer.write(base64.b64decode(found["wasm"]))
    else:
        click.echo(found["source"], nl=False)


@command("Delete a UDF or a version of it.", example="headrace udf delete titles --yes", exits=REMOTE, group=udf)
@NAME
@click.option("--version", help="A version; all of them without it.")
@click.option("--force", is_flag=True, help="Delete what a set from git manages.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@target_options
def delete(client: Client, name: str, version: str | None, force: bool, yes: bool) -> None:
    """A UDF that a pipeline names stays, and the error names the pipeline."""
    shown = f"{name}@{version}" if version else name
    confirm(f"delete the UDF {shown}?", yes=yes)
    client.udfs.delete(name, version=version, **({"force": True} if force else {}))
    note(f"deleted {shown}")


@command("Print the statistics of a UDF.", example="headrace udf stats titles -o json", exits=REMOTE, group=udf)
@NAME
@VERSION
@output_option
@target_options
def stats(client: Client, name: str, version: str | None, output: str) -> None:
    """Counts and percentiles since the start of the proxy, by version."""
    found = client.udfs.stats(name, version=version)
    emit(found["versions"], STATS_COLUMNS, output, found, name="version")


@command(
    "Show what a UDF has logged.",
    example="headrace udf logs titles\nheadrace udf logs titles -f -n 20",
    exits=REMOTE,
    group=udf,
)
@NAME
@click.option("-f", "--follow", is_flag=True, help="Go on with lines as they come, for ten minutes.")
@click.option("-n", "--lines", type=click.IntRange(0, 200), default=200, show_default=True, help="The last lines.")
@STREAM_OUTPUT
@target_options
def logs(client: Client, name: str, follow: bool, lines: int, output: str) -> None:
    """Shows the last lines of all workers. Lines may quote documents: it needs the rights of an administrator."""
    import msgspec

    for line in client.udf_lines(name, lines) if follow else client.udfs.logs(name, lines=lines)["lines"]:
        if line.get("end") == "error":
            raise Failure(f"the stream has ended: {line['error']['reason']}")
        if output == "json":
            click.echo(msgspec.json.encode(line))
        else:
            where = f"{line['pipeline']}/{line['stage']} [{line['document']}]"
            click.echo(f"{line['ts'][11:23]} {line['level']:<5} {printable(where + ' ' + line['text'], keep='')}")
