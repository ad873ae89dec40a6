"""`headrace diff`, `apply`, `export`, `history`, `rollback` and `sync` against a proxy and a node."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from headrace import AsyncClient, Client, ClientError
from headrace.cli.errors import ExitCode
from headrace.project.tools.writer import write
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from tests.conftest import SECRET, Http
from tests.node.registry.sets.test_exports import SETS, drawn
from tests.node.registry.sets.test_sets import applied, body, pipeline, python, setting, shout
from tests.node.registry.test_registry_tampering import another, until

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.settings import Settings

TITLES = "def process(document, parameters):\n    return document  # {}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a UDF, a pipeline and an association."""
    folder = tmp_path / "shop"
    for part in ("pipelines", "udfs"):
        (folder / part).mkdir(parents=True)
    (folder / "headrace.toml").write_text('set = "shop"\n')
    (folder / "udfs/titles.py").write_text(TITLES.format(1))
    stage = "{name: t, type: python, config: {udf_name: titles}}"
    (folder / "pipelines/logs.yaml").write_text(f"# a comment\ntype: document\nstages: [{stage}]\n")
    (folder / "associations.yaml").write_text('"shop-*": {document: logs}\n')
    return folder


async def test_from_a_directory_into_force_and_back(run, shop: Path, through: Http):
    path = str(shop)
    code, out, err = await run("diff", path)
    assert (code, out.splitlines()) == (
        ExitCode.DIFFERENCES,
        ["+ create udf titles", "+ create pipeline logs", "+ create association shop-*"],
    )
    code, out, err = await run("apply", path, "--wait", "--commit", "abc", "--by", "ann")
    assert (code, "the set shop is at revision 1" in err) == (0, True)
    assert (await run("diff", path))[:2] == (0, "")
    (shop / "udfs/titles.py").write_text(TITLES.format(2))
    code, out, _ = await run("diff", path, "-o", "json")
    assert code == ExitCode.DIFFERENCES
    assert [c["action"] for c in json.loads(out)["changes"]] == ["update", "update", "unchanged"]
    assert (await run("apply", path))[0] == 0
    (shop / "associations.yaml").unlink()
    assert (await run("diff", path))[0] == 0, "without --prune it stays"
    code, out, _ = await run("diff", path, "--prune")
    assert (code, out) == (ExitCode.DIFFERENCES, "- detach association shop-*\n")
    code, _, err = await run("apply", path, "--prune")
    assert (code, "pass --yes" in err) == (ExitCode.USAGE, True)
    assert (await through.get("/_pipeline/_association")).json["total"] == 1
    assert (await run("apply", path, "--prune", "--yes"))[0] == 0
    assert (await through.get("/_pipeline/_association")).json["total"] == 0
    code, out, _ = await run("history", "--dir", path)
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [(row[0], row[-1]) for row in rows] == [("3", "yes"), ("2", "no"), ("1", "no")]
    assert rows[2][3:5] == ["ann", "abc"]
    assert (await run("rollback", "--dir", path))[0] == ExitCode.USAGE
    code, _, err = await run("rollback", "1", "--dir", path, "--yes")
    assert (code, "revision 4" in err) == (0, True)
    assert (await run("rollback", "--set", "none", "--yes"))[0] == ExitCode.FAILED


async def test_waiting_is_for_every_proxy(
    run, shop: Path, through: Http, direct: Http, settings: Settings, tmp_path: Path
):
    async with another(settings, tmp_path / "other", through.session, registry_poll="1s") as other:
        for n in (1, 2):
            (shop / "udfs/titles.py").write_text(TITLES.format(n))
            code, _, err = await run("apply", str(shop), "--wait")
            assert code == 0, err
            assert (await other.get("/_udf/titles")).json["version"] == str(n)
        assert len((await through.get("/_registry/_revisions?set=shop")).json["proxies"]) == 2
        await direct.put(f"/{settings.registry_index}/_doc/seen:junk?refresh=true", {"kind": "seen", "name": "x"})
        assert len((await through.get("/_registry/_revisions?set=shop")).json["proxies"]) == 2, "signed ones only"
        assert (await through.get("/_proxy/health/ready")).json.get("registry_ignored") is None
    await direct.post(f"/{settings.registry_index}/_refresh")
    assert len((await through.get("/_registry/_revisions?set=shop")).json["proxies"]) == 1, "who ends says so"
    (shop / "udfs/titles.py").write_text(TITLES.format(3))
    signer = Signer([SECRET.encode()], settings.registry_index)
    report = {"host": "h", "process": 7, "at": time.time(), "registry": "current", "sets": {"shop": 2}}
    late = signer.sign("seen:late", Document(kind="seen", name="seen", body=json.dumps(report)), 1)
    await direct.put(f"/{settings.registry_index}/_doc/seen:late?refresh=true", late.source)
    code, _, err = await run("apply", str(shop), "--wait", "--timeout", "2")
    assert (code, "after 2 s revision 3 is not in force in h:7" in err) == (ExitCode.FAILED, True)


async def test_errors_have_a_place_in_the_directory(run, shop: Path, through: Http):
    (shop / "pipelines/bad.yaml").write_text(
        "type: document\nstages:\n- {name: s, type: native, config: {function: sett}}\n"
    )
    (shop / "associations.yaml").write_text('"shop-*":\n  document: nowhere\n')
    code, _, err = await run("apply", str(shop))
    assert code == ExitCode.FAILED
    assert "pipelines/bad.yaml:3:46: no built-in is called [sett]" in err
    assert "associations.yaml:2:13: [shop-*] pipeline [nowhere] does not exist" in err
    assert err.splitlines()[-1] == "error: 2 problems in the directory; nothing was changed"
    (shop / "pipelines/bad.yaml").write_text("type: [\n")
    code, _, err = await run("diff", str(shop))
    assert (code, "pipelines/bad.yaml:2:1: " in err) == (ExitCode.FAILED, True)
    assert (await through.get("/_registry/_revisions")).json["total"] == 0


async def test_conflicts_end_with_4(run, shop: Path, through: Http, monkeypatch: pytest.MonkeyPatch):
    await applied(through, body("other", pipeline("logs", setting(1))))
    code, _, err = await run("apply", str(shop))
    assert (code, "pipelines/logs.yaml:2:1: is managed by the set [other]" in err) == (ExitCode.CONFLICT, True)
    await applied(through, body("other", prune=True))
    assert (await run("apply", str(shop)))[0] == 0
    from headrace.client.blocking import Registry

    diff = Registry.diff

    def slow(self: Registry, sent: Any) -> Any:
        answer = diff(self, sent)
        with Client(through.base) as client:
            client.registry.apply({**sent, "udfs": [{**sent["udfs"][0], "tags": ["faster"]}], "source": {"by": "bob"}})
        return answer

    (shop / "udfs/titles.py").write_text(TITLES.format(3))
    monkeypatch.setattr(Registry, "diff", slow)
    code, _, err = await run("apply", str(shop))
    assert (code, "by bob" in err) == (ExitCode.CONFLICT, True)


async def test_an_export_can_be_applied_and_keeps_what_is_the_same(run, shop: Path, tmp_path: Path, through: Http):
    await run("apply", str(shop))
    written = (shop / "pipelines/logs.yaml").read_text()
    code, out, _ = await run("export", str(shop))
    assert (code, out, (shop / "pipelines/logs.yaml").read_text()) == (0, "", written)
    by_hand = {"type": "document", "stages": [setting(2), python("titles")]}
    assert (await through.put("/_pipeline/logs?force=true", by_hand)).status == 201
    (shop / "udfs/old.py").write_text(TITLES.format(0))
    code, out, err = await run("export", str(shop))
    assert (code, out) == (0, "pipelines/logs.yaml\n")
    assert "udfs/old.py (--prune deletes them)" in err
    assert (await run("export", str(shop), "--prune"))[0] == ExitCode.USAGE
    assert (await run("export", str(shop), "--prune", "--yes"))[0] == 0
    assert (await run("diff", str(shop), "--prune"))[0] == 0, "what was changed by hand is in the directory now"
    await through.pipeline("hand", "document", setting(1))
    code, out, _ = await run("export", str(tmp_path / "new"), "--unmanaged", "--set", "mine")
    assert (code, out.split()) == (0, ["headrace.toml", "pipelines/hand.yaml"])
    code, out, _ = await run("diff", str(tmp_path / "new"))
    assert (code, "was stored by hand" in out) == (ExitCode.DIFFERENCES, True)


async def test_random_sets_as_directories(run, tmp_path: Path, through: Http):
    chance = random.Random(12)
    for number in range(SETS):
        texts = [
            "x: y",
            "0o17",
            "1e3",
            "null",
            "${var:a} $${var:b}",
            "a\nb\n",
            " a\r\nb",
            "- a",
            "ä\t",
            "",
            "12",
            "é" * 120,
        ]
        sent = drawn(chance, f"d{number}")
        sent["pipelines"].append(pipeline(f"d{number}-texts", setting(dict(enumerate_texts(chance.sample(texts, 6))))))
        sent["pipelines"].append(pipeline(f"d{number}-p0", native_result(), kind="result"))
        sent["udfs"].append(shout(name=f"d{number}-crlf", source="def process(d, p):\r\n    return d\r\n", merge=True))
        sent["pipelines"] = list({(p["name"], p["type"]): p for p in sent["pipelines"]}.values())
        await applied(through, sent)
        folder = str(tmp_path / f"set-{number}")
        assert (await run("export", folder, "--set", "app"))[0] == 0
        code, out, err = await run("diff", folder, "--prune")
        assert (code, out) == (0, ""), (out, err)
        assert (await run("export", folder, "--set", "app"))[:2] == (0, "")


def enumerate_texts(texts: list[str]) -> list[tuple[str, str]]:
    return [(f"{text} {n}", text) for n, text in enumerate(texts)]


def native_result() -> dict[str, Any]:
    return {"name": "m", "type": "native", "config": {"function": "mask", "parameters": {"fields": ["a"]}}}


def test_packages_are_files_of_their_own(tmp_path: Path):
    udf = {"name": "u", "language": "python", "source": "# @udf: name=u\n", "packages": ["UEsFBg=="], "tags": ["x"]}
    written = write(tmp_path, {"udfs": [udf], "pipelines": [], "associations": {}})
    assert written.files == ["udfs/u.py", "udfs/u.packages-0.zip", "udfs/u.udf.yaml"]
    assert (tmp_path / "udfs/u.udf.yaml").read_text() == "tags:\n- x\npackages:\n- u.packages-0.zip\n"


async def test_sync_applies_what_changes_and_ends_cleanly(shop: Path, through: Http, tmp_path: Path):
    log = tmp_path / "sync.log"
    command = [sys.executable, "-m", "headrace", "sync", "--dir", str(shop), "--every", "200ms", "--url", through.base]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*command, stderr=file, env={"PATH": "/usr/bin:/bin"})
    try:
        for n in (1, 2):
            (shop / "udfs/titles.py").write_text(TITLES.format(n))

            async def there(n: int = n) -> bool:
                export = await through.get("/_registry/_export?set=shop")
                return export.status == 200 and export.json["udfs"][0]["source"] == TITLES.format(n)

            await until(there)
        (shop / "pipelines/bad.yaml").write_text("type: [\n")

        async def told() -> bool:
            return "pipelines/bad.yaml:2:1:" in log.read_text()

        await until(told)
        (shop / "pipelines/bad.yaml").unlink()
        (shop / "udfs/titles.py").write_text(TITLES.format(3))

        async def again() -> bool:
            return (await through.get("/_registry/_export?set=shop")).json["udfs"][0]["source"] == TITLES.format(3)

        await until(again)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    lines = log.read_text()
    assert "set shop: revision 1, 3 changes" in lines
    assert lines.rstrip().endswith("stopped")
    assert "Traceback" not in lines


async def test_both_clients(through: Http):
    sent = body("app", pipeline("p", python()), udfs=[shout()])
    async with AsyncClient(through.base) as client:
        assert (await client.registry.diff(sent))["revision"] == 0
        assert (await client.registry.apply(sent))["revision"] == 1
        assert (await client.registry.revisions())["total"] == 1
        with pytest.raises(ClientError) as refused:
            await client.registry.rollback("app", 7)
        assert refused.value.status == 404

    def blocking() -> None:
        with Client(through.base) as client:
            export = client.registry.export("app")
            assert export.pop("revision") == 1
            assert {c["action"] for c in client.registry.apply(export)["changes"]} == {"unchanged"}
            assert client.registry.rollback("app", 1)["revision"] == 1, "it is in force"

    await asyncio.to_thread(blocking)
