"""Sources of other kinds: behind a proxy, in files; code of other kinds: pinned, nested, from a directory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.backfill.bundles import Directory, Proxy, bundle_of
from headrace.cli.commands.jobs.state import StateFolder
from headrace.cli.errors import ExitCode
from headrace.client.target import Target
from headrace.settings import Settings
from headrace_pipelines import Pipelines
from tests.conftest import SECRET, Http, native
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, expected, filled, pipeline
from tests.node.stages.test_python_numbers import wheel
from tests.support.wat import ECHO


async def test_through_a_proxy_no_other_pipeline_runs(
    backfill, through: Http, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 500)
    await corpus.created(direct, target)
    pipelines = await pipeline(through, name)
    monkeypatch.delenv("HEADRACE_CLUSTER")
    await through.pipeline(f"{name}-own", "document", native("s", "set", field="own", value=1))
    await through.put(f"/{target}/_settings", {"index.document.default_pipeline": f"{name}-own"})
    arguments = ["--source", source, "--target", target, "--pipeline", name, "--dead-letters", f"{name}-dead"]
    for more in ((), ("--slices", "3")):
        code, _, err = await backfill(*arguments, *more)
        assert code == ExitCode.DIFFERENCES, err
        assert await contents(direct, target) == await expected(direct, pipelines, name, source)
        await direct.delete(f"/{target}")
        await corpus.created(direct, target)
    await through.put(f"/{target}/_settings", {"index.document.final_pipeline": f"{name}-own"})
    code, _, err = await backfill(*arguments)
    assert (code, "has the final document pipeline" in err, "--cluster" in err) == (ExitCode.FAILED, True, True)


async def test_files_are_indexed_once(backfill, through: Http, direct: Http, name: str, tmp_path: Path):
    await corpus.created(direct, name)
    await pipeline(through, name)
    lines = [json.dumps(corpus.document(n)) for n in range(700)]
    (tmp_path / "a.ndjson").write_text("\n".join(lines[:400]))
    (tmp_path / "b.ndjson").write_text("\n".join(lines[400:]))
    arguments = ["--source", f"{tmp_path}/*.ndjson", "--target", name, "--pipeline", name, "--id-field", "n"]
    arguments += ["--dead-letters", f"{tmp_path}/dead/", "--json"]
    counts = []
    for _ in range(2):
        code, out, err = await backfill(*arguments)
        assert code == ExitCode.DIFFERENCES, err
        counts.append(json.loads(out)["counts"])
    good = {str(n) for n in range(700) if n % 7 != 3 and n % 500 != 5}
    assert set(await contents(direct, name)) == good
    assert (counts[0]["written"], counts[1]["written"], counts[1]["conflicts"]) == (len(good), 0, len(good))
    import pyarrow.parquet

    dead = [row["id"] for row in pyarrow.parquet.read_table(tmp_path / "dead").to_pylist()]
    assert sorted(dead) == ["5", "5", "505", "505"]


async def test_a_bundle_has_what_a_pipeline_refers_to(through: Http, name: str):
    """Nested pipelines, UDFs in the versions that are pinned, and code that is not text."""
    udf = {"language": "python", "source": "def process(doc):\n    doc['v'] = 1\n    return doc\n"}
    assert (await through.put(f"/_udf/{name}", udf)).status == 201
    stage = {"name": "u", "type": "python", "config": {"udf_name": name}}
    await through.pipeline(f"{name}-inner", "document", stage)
    await through.put(f"/_udf/{name}", udf | {"source": udf["source"].replace("= 1", "= 2")})
    nested = {"name": "c", "type": "composite", "config": {"pipeline": f"{name}-inner"}}
    called = native("p", "pipeline", name=f"{name}-inner")
    await through.pipeline(name, "document", stage | {"on_failure": [nested]}, nested, called)

    def chosen():
        origin = Proxy(Target(url=through.base))
        try:
            return bundle_of(origin, name)
        finally:
            origin.close()

    found = await asyncio.to_thread(chosen)
    assert found.label == f"{name}@1"
    assert [each for each, _ in found.bundle.pipelines] == [name, f"{name}-inner"]
    assert len(found.bundle.udfs) == 2
    assert Pipelines.of(found.bundle).run(found.label, [{}]).documents == [{"v": 1}]
    assert (await asyncio.to_thread(chosen)).bundle.digest == found.bundle.digest


async def test_a_pipeline_of_a_directory(backfill, direct: Http, name: str, tmp_path: Path, through: Http):
    (tmp_path / "pipelines").mkdir()
    stage = {"name": "l", "type": "native", "config": {"function": "lowercase", "parameters": {"field": "level"}}}
    (tmp_path / "pipelines" / "logs.json").write_text(json.dumps({"type": "document", "stages": [stage]}))
    await filled(direct, name, 30, shards=1)
    arguments = ["--source", name, "--pipeline", "logs", "--dir", str(tmp_path), "--diff"]
    code, out, err = await backfill(*arguments, "--json")
    assert (code, json.loads(out)["paths"]) == (ExitCode.DIFFERENCES, {"~ level": 30}), err
    code, _, err = await backfill("--source", name, "--pipeline", "nothing", "--dir", str(tmp_path), "--diff")
    assert (code, "no document pipeline [nothing]" in err) == (ExitCode.FAILED, True)


async def test_packages_of_a_udf_come_by_the_api(through: Http, name: str):
    """They are part of its code, so a job has them, too."""
    source = "import shapes\ndef process(doc):\n    return {'n': shapes.LARGE}\n"
    packages = [wheel({"shapes/__init__.py": "from .sizes import LARGE\n", "shapes/sizes.py": "LARGE = 7\n"})]
    udf = {"language": "python", "source": source, "packages": packages}
    assert (await through.put(f"/_udf/{name}", udf)).status == 201
    await through.pipeline(name, "document", {"name": "u", "type": "python", "config": {"udf_name": name}})

    def chosen():
        origin = Proxy(Target(url=through.base))
        try:
            return bundle_of(origin, name)
        finally:
            origin.close()

    found = await asyncio.to_thread(chosen)
    assert Pipelines.of(found.bundle).run(found.label, [{}]).documents == [{"n": 7}]


async def test_code_has_one_digest_wherever_it_comes_from(
    settings: Settings, through: Http, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A job goes on, or has another one follow, by the same code: from the proxy, its state folder, or a directory.

    A registry notes the entry that it has found in code that names none; a directory cannot say it.
    """
    monkeypatch.setenv("HEADRACE_REGISTRY_SECRET", SECRET)
    codes = {
        "plain": {
            "language": "python",
            "source": "# @udf: tags=a,b\n# @udf: entry=process\ndef process(doc):\n    return doc\n",
        },
        "packed": {
            "language": "python",
            "source": "import shapes\ndef process(doc):\n    return doc\n",
            "packages": [wheel({"shapes/__init__.py": "N = 1\n"})],
            "limits": {"timeout": "5s"},
            "entry": "process",
        },
        "script": {
            "language": "javascript",
            "entry": "process",
            "source": "export function process(doc) { return doc }",
        },
        "text": {"language": "wat", "entry": "process", "source": ECHO},
    }
    for kind, code in codes.items():
        assert (await through.put(f"/_udf/{name}-{kind}", code | {"version": "3"})).status == 201, kind
    stages = [
        {"name": kind, "type": code["language"].replace("wat", "wasm"), "if": "doc.n > 1.50",
         "config": {"udf_name": f"{name}-{kind}", "udf_version": "3"}}
        for kind, code in codes.items()
    ]  # fmt: skip
    definition = {"type": "document", "version": "4", "description": "é", "stages": stages}
    assert (await through.put(f"/_pipeline/{name}", definition)).status == 201

    def chosen() -> dict[str, Any]:
        proxy = Proxy(Target(url=through.base))
        udfs = [{"name": f"{name}-{kind}", "version": "3", **code} for kind, code in codes.items()]
        origins = {
            "proxy": proxy,
            "state": StateFolder(settings.state_folder),
            "directory": Directory({"pipelines": [{"name": name, **definition}], "udfs": udfs}),
        }
        try:
            return {each: bundle_of(origin, f"{name}@4").bundle for each, origin in origins.items()}
        finally:
            proxy.close()

    found = await asyncio.to_thread(chosen)
    # In parts: what differs is to be seen.
    for kind in ("pipelines", "udfs"):
        for parts in zip(*(getattr(bundle, kind) for bundle in found.values()), strict=True):
            assert len(set(parts)) == 1, dict(zip(found, parts, strict=True))
    assert len({bundle.digest for bundle in found.values()}) == 1


async def test_a_pipeline_of_a_state_folder(
    backfill, settings: Settings, through: Http, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    """The proxy need not be there: its copy of the registry has definitions and code, signed by its key."""
    await filled(direct, name, 30, shards=1)
    await pipeline(through, name)
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HEADRACE_REGISTRY_SECRET", SECRET)
    folder = settings.state_folder
    arguments = ["--source", name, "--pipeline", f"{name}@1", "--diff", "--state"]
    code, out, err = await backfill(*arguments, str(folder), "--json")
    assert (code, json.loads(out)["counts"]["changed"]) == (ExitCode.DIFFERENCES, 25), err
    code, _, err = await backfill(*arguments, str(folder / "udf"))
    assert (code, "is no state folder" in err) == (ExitCode.FAILED, True)
    monkeypatch.setenv("HEADRACE_REGISTRY_SECRET", "another secret of thirty-two bytes")
    code, _, err = await backfill(*arguments, str(folder))
    assert (code, "not of this secret" in err) == (ExitCode.FAILED, True)


async def test_what_a_job_cannot_keep_right_is_refused(
    backfill, through: Http, direct: Http, name: str, tmp_path: Path
):
    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 30, shards=1)
    await corpus.created(direct, target)
    await direct.put(f"/{target}/_settings", {"index.gc_deletes": "45s"})
    stages = [native("s", "set", field="state", value="one")]
    await pipeline(through, name, stages)
    arguments = ["--source", source, "--target", target, "--pipeline", name]
    assert (await backfill(*arguments))[0] == 0
    settings = (await direct.get(f"/{target}/_settings?flat_settings=true")).json[target]["settings"]
    assert settings["index.gc_deletes"] == "45s"

    # Another version of the pipeline has equal versions of the documents, and drops one of them.
    stages = [native("s", "set", field="state", value="two"), native("d", "drop") | {"if": "doc.n == 3"}]
    await pipeline(through, name, stages)
    code, _, err = await backfill(*arguments)
    assert (code, f"{name}@1" in err, "--replace" in err) == (ExitCode.CONFLICT, True, True), err
    assert (await backfill(*arguments, "--replace"))[0] == 0
    found = await contents(direct, target)
    assert {document["state"] for document, _ in found.values()} == {"two"}
    assert set(found) == {f"d{n}" for n in range(30) if n != 3}

    code, _, err = await backfill("--source", source, "--in-place", "--pipeline", name, "--slices", "2")
    assert (code, "through the pipeline twice" in err) == (ExitCode.FAILED, True), err
    broken = tmp_path / "a.parquet"
    broken.write_bytes(b"no parquet")
    code, _, err = await backfill("--source", str(broken), "--target", target, "--pipeline", name)
    assert (code, "cannot be read as Parquet" in err) == (ExitCode.FAILED, True), err


async def test_a_source_is_the_same_however_it_is_spelled(
    backfill, through: Http, direct: Http, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else documents of two functions would stand in one index."""
    for number in (1, 2):
        await filled(direct, f"{name}-{number}", 20, shards=1)
        await corpus.created(direct, f"{name}x{number}", shards=1)
    await direct.post("/_aliases", {"actions": [{"add": {"index": f"{name}-1", "alias": f"{name}-a"}}]})
    lines = tmp_path / "lines.ndjson"
    lines.write_text('{"n": 1}\n')
    (tmp_path / "link").symlink_to(tmp_path)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    monkeypatch.chdir(tmp_path)
    of_files = ["--pipeline", name, "--id-field", "n", "--target", f"{name}x1"]
    of_indexes = ["--pipeline", name, "--target", f"{name}x2"]
    assert (await backfill("--source", "lines.ndjson", *of_files))[0] == 0
    assert (await backfill("--source", f"{name}-a", *of_indexes, "--slices", "1"))[0] == 0
    await pipeline(through, name, [native("s", "set", field="state", value="two")])
    for source in ("./lines.ndjson", str(lines), "*.ndjson", "lines.ndjson/", "link/lines.ndjson"):
        code, _, err = await backfill("--source", source, *of_files)
        assert (code, "by other code" in err) == (ExitCode.CONFLICT, True), (source, err)
    for source in (f"{name}-1", f"{name}-*", f"{name}-2,{name}-1"):
        code, _, err = await backfill("--source", source, *of_indexes)
        assert (code, "by other code" in err) == (ExitCode.CONFLICT, True), (source, err)
    # What no job has read is nobody's.
    assert (await backfill("--source", f"{name}-2", *of_indexes))[0] == 0


async def test_a_broken_line_is_a_dead_letter(backfill, through: Http, direct: Http, name: str, tmp_path: Path):
    await corpus.created(direct, name, shards=1)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n{"n": \nnothing\n{"n": 1}\n')
    arguments = ["--source", f"{tmp_path}/a.ndjson", "--target", name, "--pipeline", name, "--json"]
    code, out, err = await backfill(*arguments, "--dead-letters", f"{name}-dead")
    assert code == ExitCode.DIFFERENCES, err
    assert {"written": 2, "failed": 2}.items() <= json.loads(out)["counts"].items()
    assert len(await contents(direct, name)) == 2


async def test_a_row_that_is_no_document_is_a_dead_letter(
    backfill, through: Http, direct: Http, name: str, tmp_path: Path
):
    """The cluster refuses a whole bulk for one id that is too long."""
    import pyarrow
    import pyarrow.parquet

    await corpus.created(direct, name, shards=1)
    await pipeline(through, name, [native("s", "set", field="state", value="one")])
    texts = ['{"n": 1}', '{"n":\n2}', None, '{"n": \n', "nothing", '{"n": 3}', '{"n": 4}', '{"n": 5}']
    ids = [*"abcde", "x" * 513, "", "last"]
    pyarrow.parquet.write_table(pyarrow.table({"_source": texts, "_id": ids}), tmp_path / "a.parquet")
    arguments = ["--source", f"{tmp_path}/a.parquet", "--pipeline", name, "--json"]
    written = ["--target", name, "--dead-letters", f"{name}-dead"]
    for more, counted in ((written, {"read": 8, "written": 3, "failed": 5}), (["--diff"], {"changed": 3, "failed": 5})):
        code, out, err = await backfill(*arguments, *more)
        assert code == ExitCode.DIFFERENCES, err
        assert counted.items() <= json.loads(out)["counts"].items()
    assert set(await contents(direct, name)) == {"a", "b", "last"}
    dead = {record.get("id"): record for record, _ in (await contents(direct, f"{name}-dead")).values()}
    assert set(dead) == {"c", "d", "e", "x" * 513, ""}
    assert "row 2 of [" in dead["c"]["error"]["reason"]
    assert dead["d"]["original"] == texts[3]


async def test_a_data_stream_is_refused_before_the_job(backfill, through: Http, direct: Http, name: str):
    """Its newest index takes writes whatever a block says: the job would fail at its end."""
    template = {"index_patterns": [f"{name}-*"], "data_stream": {}, "priority": 900}
    await direct.put(f"/_index_template/{name}", template)
    try:
        await direct.post(f"/{name}-logs/_doc?refresh=true", {"@timestamp": "2026-01-01T00:00:00Z", "n": 1})
        await corpus.created(direct, f"t{name}")
        await pipeline(through, name, [native("s", "set", field="state", value="one")])
        arguments = ["--source", f"{name}-logs", "--target", f"t{name}", "--pipeline", name]
        code, _, err = await backfill(*arguments, "--swap-alias", f"{name}x")
        assert (code, "is of the data stream" in err) == (ExitCode.FAILED, True), err
        assert (await backfill(*arguments))[0] == 0
    finally:
        await direct.delete(f"/_data_stream/{name}-logs")
        await direct.delete(f"/_index_template/{name}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--source and --pipeline are required"),
        (["--source", "a", "--pipeline", "p"], "--target is required"),
        (["--source", "a", "--pipeline", "p", "--in-place", "--target", "b"], "--in-place has no target"),
        (["--source", "a", "--pipeline", "p", "--target", "b", "--delete-dropped"], "belongs to --in-place"),
        (["--source", "a", "--pipeline", "p", "--diff", "--resume", "x"], "--diff writes nothing"),
        (["--source", "a", "--pipeline", "p", "--in-place", "--replace"], "belongs to --target"),
        (["--source", "a", "--pipeline", "p", "--target", "b", "--take-over"], "belongs to --resume"),
        (["--source", "a", "--pipeline", "p", "--diff", "--dir", ".", "--state", "."], "one of --dir and --state"),
        (["--source", "a.ndjson", "--pipeline", "p", "--in-place"], "files are read whole"),
        (["--source", "a", "--pipeline", "p", "--diff", "--query", "{no"], "is no JSON"),
    ],
)
async def test_options_that_do_not_fit(backfill, through: Http, arguments: list[str], words: str):
    await through.pipeline("p", "document", native("s", "set", field="a", value=1))
    code, _, err = await backfill(*arguments)
    assert (code, words in err) == (ExitCode.USAGE, True), err


async def test_indexes_that_do_not_fit(backfill, through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="a", value=1))
    await filled(direct, f"{name}-1", 5, shards=1)
    alias = {"index": f"{name}-1", "alias": f"{name}-alias", "filter": {"term": {"n": 1}}}
    whole = {"index": f"{name}-1", "alias": f"{name}-whole"}
    await direct.post("/_aliases", {"actions": [{"add": alias}, {"add": whole}]})
    for source, target, words in (
        (f"{name}-1", f"{name}-none", "create it first"),
        (f"{name}-none", f"{name}-1", "no such index"),
        (f"{name}-1", f"{name}-1", "source and target are one index"),
        (f"{name}-whole", f"{name}-1", "source and target are one index"),
        (f"{name}-alias", f"{name}-1", "has a filter"),
    ):
        code, _, err = await backfill("--source", source, "--target", target, "--pipeline", name)
        assert code in (ExitCode.FAILED, ExitCode.USAGE)
        assert words in err, err


async def test_a_target_whose_documents_are_not_refreshed_is_not_empty(
    backfill, through: Http, direct: Http, name: str
):
    await pipeline(through, name)
    await filled(direct, f"{name}-1", 5, shards=1)
    await direct.put(f"/{name}-2", {"settings": {"refresh_interval": "-1", "number_of_replicas": 0}})
    await direct.put(f"/{name}-2/_doc/own", {"n": 1})
    code, _, err = await backfill("--source", f"{name}-1", "--target", f"{name}-2", "--pipeline", name)
    assert (code, "the target is not empty" in err) == (0, True), err
    assert "own" in await contents(direct, f"{name}-2")
