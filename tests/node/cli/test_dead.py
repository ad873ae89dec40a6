"""`headrace dead` and `attach --dead-letters` against a proxy and a node."""

from __future__ import annotations

import json

from headrace import AsyncClient
from headrace.cli.errors import ExitCode
from tests.conftest import Http


async def test_the_life_of_dead_letters(run, through: Http, direct: Http, name: str):
    stream, at = f"{name}-dead", ("--stream", f"{name}-dead")
    try:
        code, _, err = await run("dead", "setup", *at)
        assert (code, f"made the data stream {stream}" in err) == (0, True)
        assert (await run("dead", "setup", *at))[0] == 0
        await direct.put(f"/{name}", {"mappings": {"properties": {"n": {"type": "long"}}}})
        assert (await run("attach", name, "--dead-letters", stream, "--dead-letters-answer", "accepted"))[0] == 0
        assert (await run("attach", name, "--priority", "3"))[0] == 0
        shown = (await through.get(f"/_pipeline/_association/{name}")).json
        assert shown == {"pattern": name, "priority": 3, "dead_letters": {"stream": stream, "answer": "accepted"}}
        for value in ("x", "y"):
            assert (await through.post(f"/{name}/_doc", {"n": value})).status == 201
        code, out, _ = await run("dead", "list", "--index", f"{name}*", *at, "-o", "json")
        (group,) = json.loads(out)["groups"]
        assert group["count"] == 2
        assert "mapper_parsing_exception" in (await run("dead", "list", *at))[1]
        code, out, _ = await run("dead", "show", group["group"], *at, "-o", "json")
        assert [record["original"] for record in json.loads(out)] == ['{"n": "x"}', '{"n": "y"}']
        code, out, _ = await run("dead", "redrive", group["group"], *at, "-o", "json")
        assert (code, json.loads(out)["failed"]) == (0, 2)
        assert (await run("dead", "redrive", *at))[0] == ExitCode.USAGE
        assert (await run("dead", "redrive", group["group"], "--all", *at))[0] == ExitCode.USAGE
        async with AsyncClient(through.base) as client:
            found = await client.dead_letters.list(stream=stream)
            dry = await client.dead_letters.redrive({"group": group["group"], "dry_run": True}, stream=stream)
        assert (found["total"], dry["examined"]) == (2, 2)
        assert (await run("dead", "drop", group["group"], *at))[0] == ExitCode.USAGE
        code, _, err = await run("dead", "drop", group["group"], "--yes", *at)
        assert (code, err) == (0, "deleted 2 records\n")
        assert (await run("attach", name, "--dead-letters", "_none"))[0] == 0
        assert (await through.post(f"/{name}/_doc", {"n": "x"})).status == 400
        assert (await run("dead", "list", *at))[2] == "nothing found\n"
    finally:
        await direct.delete(f"/_data_stream/{stream}")
        await direct.delete(f"/_index_template/{stream}")
