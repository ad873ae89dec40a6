"""`headrace pipeline`, `attach`, `resolve`, `import` against a proxy and a node, and both clients."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from headrace import AsyncClient, Client, ClientError, UnreachableError
from headrace.cli.errors import ExitCode
from tests.conftest import Http, native

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = (
    "type: document\nstages:\n- {name: s, type: native, config: {function: lowercase, parameters: {field: %s}}}\n"
)


async def test_the_life_of_a_pipeline(run, through: Http, tmp_path: Path, name: str):
    file = tmp_path / "p.yaml"
    for field in ("a", "b"):
        file.write_text(DEFINITION % field)
        assert (await run("pipeline", "put", name, str(file)))[0] == 0
    code, out, _ = await run("pipeline", "diff", name, "1", "2")
    assert code == ExitCode.DIFFERENCES
    assert "-      field: a\n+      field: b\n" in out
    code, out, _ = await run("pipeline", "diff", name, "1", "2", "-o", "json")
    assert json.loads(out) == [{"op": "replace", "path": "/stages/0/config/parameters/field", "value": "b"}]
    assert (await run("pipeline", "diff", name, "2", "2"))[0] == 0
    assert (await run("pipeline", "rollback", name))[0] == 0
    assert (await run("pipeline", "rollback", name))[0] == ExitCode.FAILED
    code, out, _ = await run("pipeline", "versions", name)
    assert [line.split()[:2] for line in out.splitlines()] == [["VERSION", "ACTIVE"], ["1", "yes"], ["2", "no"]]
    assert (await run("pipeline", "get", name, "-o", "name"))[1] == f"{name}\n"
    file.write_text((await run("pipeline", "get", name))[1])
    assert (await run("pipeline", "put", name, str(file)))[0] == 0, "what is printed can be stored"
    assert f"{name}\n" in (await run("pipeline", "list", "-o", "name"))[1]

    assert (await run("attach", f"{name}-*", "--document", name, "--priority", "7"))[0] == 0
    assert (await run("attach", f"{name}-*", "--final-document", "_none"))[0] == 0
    code, out, _ = await run("resolve", f"{name}-x", "-o", "json")
    resolved = json.loads(out)[f"{name}-x"]["document"]
    assert resolved["default"]["pipeline"] == name
    code, _, err = await run("pipeline", "delete", name, "--yes")
    assert (code, f"pattern [{name}-*]" in err) == (ExitCode.CONFLICT, True)
    assert (await run("detach", f"{name}-*"))[0] == ExitCode.USAGE
    assert (await run("detach", f"{name}-*", "--yes"))[0] == 0

    assert (await run("pipeline", "disable", name))[0] == 0
    assert (await through.get(f"/_pipeline/{name}")).json["enabled"] is False
    assert (await run("pipeline", "delete", name, "--yes"))[0] == 0
    code, _, err = await run("pipeline", "get", name)
    assert (code, err) == (ExitCode.FAILED, f"error: pipeline [{name}] is missing\n")


async def test_a_rollback_does_not_switch_off(run, through: Http, tmp_path: Path, name: str):
    """`disable` and `enable` each store a version: 1 runs, 2 is switched off, 3 runs."""
    await through.pipeline(name, "document", native("s", "lowercase", field="a"))
    assert (await run("pipeline", "disable", name))[0] == 0
    assert (await run("pipeline", "enable", name))[0] == 0
    _, out, _ = await run("pipeline", "versions", name)
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["VERSION", "ACTIVE", "ENABLED"],
        ["1", "no", "yes"],
        ["2", "no", "no"],
        ["3", "yes", "yes"],
    ]
    code, _, err = await run("pipeline", "rollback", name)
    assert (code, err) == (0, f"passed over, since switched off: {name}@2\n{name}@1 is active\n")
    assert (await through.get(f"/_pipeline/{name}")).json["version"] == "1"
    assert (await run("pipeline", "activate", name, "3"))[0] == 0
    for command in ("rollback", "activate"):
        code, _, err = await run("pipeline", command, name, "2")
        assert (code, "pass --yes" in err, "switched off" in err) == (ExitCode.USAGE, True, True)
        assert (await through.get(f"/_pipeline/{name}")).json["version"] == "3"
    code, _, err = await run("pipeline", "rollback", name, "4")
    assert (code, f"{name} has no version [4] before the active one" in err) == (ExitCode.FAILED, True)
    code, _, err = await run("pipeline", "rollback", name, "2", "--yes")
    assert (code, f"{name}@2 is active, and switched off" in err) == (0, True)
    assert (await through.get(f"/_pipeline/{name}")).json["enabled"] is False


async def test_a_rollback_asks_where_all_earlier_versions_are_switched_off(run, through: Http, name: str):
    stages = [native("s", "lowercase", field="a")]
    await through.put(f"/_pipeline/{name}", {"type": "document", "stages": stages, "enabled": False})
    assert (await run("pipeline", "enable", name))[0] == 0
    assert (await run("pipeline", "rollback", name))[0] == ExitCode.USAGE
    assert (await through.get(f"/_pipeline/{name}")).json["version"] == "2"


async def test_a_trial_run_shows_what_each_stage_changes(run, through: Http, tmp_path: Path, name: str):
    stages = [native("up", "uppercase", field="a"), {**native("no", "set", field="b", value=1), "if": "false"}]
    await through.pipeline(name, "document", *stages, native("drop", "drop") | {"if": "doc.a == 'Y'"})
    (tmp_path / "docs.ndjson").write_text('{"a":"x"}\n{"a":"y"}\n')
    code, out, _ = await run("pipeline", "execute", name, str(tmp_path / "docs.ndjson"))
    assert code == 0
    assert '    replace /a "X"' in out
    assert "no                   skipped  if is false" in out
    assert "dropped" in out
    (tmp_path / "d.json").write_text("{}")
    code, out, _ = await run("pipeline", "execute", name, str(tmp_path / "d.json"), "-o", "json")
    assert (code, json.loads(out)[0]["error"]["stage"]) == (1, "up")
    (tmp_path / "def.yaml").write_text(
        "type: query\nstages:\n- {name: q, type: native, config: {function: oversample, parameters: {sample_factor: 2}}}\n"
    )
    code, out, _ = await run(
        "pipeline", "execute", "new", str(tmp_path / "d.json"), "--definition", str(tmp_path / "def.yaml")
    )
    assert (code, "add /size 20" in out) == (0, True)
    (tmp_path / "bad").write_text('{"a":1}\n{')
    assert "bad:2: " in (await run("pipeline", "execute", name, str(tmp_path / "bad")))[2]


async def test_a_pipeline_of_the_cluster_is_converted(run, direct: Http, name: str):
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": [{"lowercase": {"field": "a"}}]})
    code, out, _ = await run("import", "ingest", name, "--as", f"{name}-2", "-o", "name")
    assert (code, out) == (0, f"{name}-2\n")
    await direct.delete(f"/_ingest/pipeline/{name}")


async def test_a_definition_with_an_error_names_its_place(run, tmp_path: Path, name: str):
    (tmp_path / "p.yaml").write_text("type: document\nstages: [\n")
    code, _, err = await run("pipeline", "put", name, str(tmp_path / "p.yaml"))
    assert code == ExitCode.FAILED
    assert "p.yaml:3:1: " in err
    (tmp_path / "p.yaml").write_text(DEFINITION % "[]")
    code, _, err = await run("pipeline", "put", name, str(tmp_path / "p.yaml"))
    assert code == ExitCode.FAILED
    assert "(stages[0].config.parameters)" in err


async def test_the_clients(through: Http, name: str):
    definition = {"type": "document", "stages": [native("s", "lowercase", field="a")]}

    def blocking() -> None:
        with Client(through.base) as client:
            assert client.pipelines.put(name, definition)["version"] == "1"
            assert client.pipelines.execute(name, {"input": {"a": "X"}})["output"] == {"a": "x"}
            with pytest.raises(ClientError, match="is missing") as raised:
                client.pipelines.get(f"{name}-none")
            assert (raised.value.status, raised.value.type) == (404, "resource_not_found_exception")
            with pytest.raises(ClientError) as raised:
                client.pipelines.put(name, {"type": "document", "stages": [{}]})
            assert raised.value.field.startswith("stages[0]")

    await asyncio.to_thread(blocking)
    async with AsyncClient(through.base) as client:
        stored = await client.udfs.put(name, b"def process(doc):\n    return {'n': doc['n'] + 1}\n")
        assert stored["version"] == "1"
        assert (await client.udfs.source(name))["source"].startswith("def process")
        assert (await client.udfs.test(name, {"input": {"n": 1}}))["output"] == {"n": 2}
        await client.associations.put(f"{name}-*", {"document": name})
        assert (await client.associations.resolve(f"{name}-x"))[f"{name}-x"]["document"]["default"]["version"] == "1"
        await client.associations.delete(f"{name}-*")
    async with AsyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            await client.pipelines.list()
