"""`headrace rollout` against a proxy and a node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headrace import AsyncClient
from headrace.cli.errors import ExitCode
from tests.conftest import Http, native

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_life_of_a_rollout(run, through: Http, name: str, tmp_path: Path):
    stage = native("mark", "set", field="v", value=1)
    await through.pipeline(name, "document", stage)
    (tmp_path / "next.json").write_text(json.dumps({"type": "document", "version": "next", "stages": [stage]}))
    assert (await run("pipeline", "put", name, str(tmp_path / "next.json"), "--no-activate"))[0] == 0
    code, _, err = await run("rollout", "status", name)
    assert (code, "has no rollout" in err) == (ExitCode.FAILED, True)
    started = ("rollout", "start", name, "next", "--step", "1:10m", "--step", "25", "--abort-if", "error_rate=0.005")
    code, out, err = await run(*started)
    assert (code, f"{name}@next: running, canary at 0 %" in err) == (0, True)
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        [f"{name}@1", "stable"],
        [f"{name}@next", "candidate"],
    ]
    assert (await run(*started))[0] == ExitCode.CONFLICT
    shown = json.loads((await run("rollout", "pause", name, "-o", "json"))[1])
    assert (shown["state"], shown["abort_if"], shown["min_samples"]) == ("paused", {"error_rate": 0.005}, 500)
    assert json.loads((await run("rollout", "resume", name, "-o", "json"))[1])["state"] == "running"
    assert (await run("rollout", "abort", name))[0] == 0
    code, _, err = await run("rollout", "status", name, "--watch")
    assert (code, "by hand" in err) == (ExitCode.FAILED, True)
    assert (await run(*started))[0] == 0
    assert (await run("rollout", "promote", name))[0] == ExitCode.USAGE
    assert (await run("rollout", "promote", name, "--yes"))[0] == 0
    assert (await run("rollout", "status", name, "--watch"))[0] == 0
    async with AsyncClient(through.base) as client:
        assert (await client.pipelines.rollout(name))["state"] == "promoted"


async def test_what_is_no_step_or_limit_is_said(run, name: str):
    for wrong, field in ((("--step", "many"), "--step"), (("--abort-if", "errors=1"), "--abort-if")):
        code, _, err = await run("rollout", "start", name, "2", *wrong)
        assert (code, field in err) == (ExitCode.USAGE, True)
