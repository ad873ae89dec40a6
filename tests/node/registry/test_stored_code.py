"""The code of UDFs in the registry: shared by versions, removed by another proxy meanwhile, and lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.registry.live import LiveRegistry
from tests.conftest import Http
from tests.node.registry.sets.test_sets import applied, body, setting, shout
from tests.node.registry.test_registry_tampering import another, path_of, until, whole

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from headrace.settings import Settings


async def test_code_that_a_hidden_version_shares_stays(through: Http):
    sent = body("app", udfs=[shout()], prune=True)
    await applied(through, sent)
    await applied(through, body("app", prune=True))
    assert (await through.put("/_udf/twin", shout(name="twin"))).status == 201
    assert (await through.delete("/_udf/twin")).status == 200
    again = await through.post("/_registry/_rollback?set=app&revision=1")
    assert again.status == 200, again.json
    assert (await through.post("/_udf/shout/_test", {"input": {"level": "a"}})).json["output"] == {"level": "A"}
    assert (await through.put("/_udf/twin", shout("title", name="twin"))).status == 201
    await applied(through, body("app", prune=True))
    assert (await through.delete("/_udf/twin")).status == 200


@pytest.mark.parametrize("is_read", [False, True], ids=["", "read meanwhile"])
@pytest.mark.parametrize("by_set", [False, True])
async def test_code_that_another_proxy_removes_at_the_same_time_is_written_anew(
    through: Http,
    settings: Settings,
    tmp_path: Path,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    direct: Http,
    by_set: bool,
    is_read: bool,
):
    async with another(settings, tmp_path / "other", session) as other:
        write = LiveRegistry.write_code

        async def cut(self: LiveRegistry, digest: str, code: bytes) -> None:
            monkeypatch.setattr(LiveRegistry, "write_code", write)
            await write(self, digest, code)
            assert (await direct.delete(path_of(settings, f"code:{digest}:0"))).status == 200
            if is_read:
                # A poll, of a registry in which no version names the code yet.
                assert (await other.put("/_pipeline/p", {"type": "document", "stages": [setting(1)]})).status == 201
                self.reread()
                await self.refresh()

        monkeypatch.setattr(LiveRegistry, "write_code", cut)
        if by_set:
            await applied(through, body("app", udfs=[shout()]))
        else:
            assert (await through.put("/_udf/shout", shout())).status == 201

        async def works(http: Http) -> bool:
            answer = await http.post("/_udf/shout/_test", {"input": {"level": "a"}})
            return answer.json.get("output") == {"level": "A"}

        await until(lambda: works(through))
        await until(lambda: works(other))


@pytest.mark.parametrize("by_set", [False, True])
async def test_code_that_is_lost_comes_back_with_the_same_upload(
    settings: Settings, tmp_path: Path, session: aiohttp.ClientSession, direct: Http, by_set: bool
):
    async def stored(http: Http) -> int:
        if by_set:
            return (await http.post("/_registry/_apply", body("app", udfs=[shout()]))).status
        return (await http.put("/_udf/shout", shout())).status

    try:
        async with another(settings, tmp_path / "first", session) as http:
            assert await stored(http) in (200, 201)
        code = [id_ for id_ in await whole(direct, settings) if id_.startswith("code:")]
        for id_ in code:
            assert (await direct.delete(path_of(settings, id_))).status == 200
        assert code
        async with another(settings, tmp_path / "second", session) as http:
            answer = await http.post("/_udf/shout/_test", {"input": {"level": "a"}})
            assert answer.status != 200 or answer.json.get("output") is None
            assert await stored(http) == 200
            answer = await http.post("/_udf/shout/_test", {"input": {"level": "a"}})
            assert answer.json["output"] == {"level": "A"}
        assert set(code) <= set(await whole(direct, settings))
    finally:
        await direct.delete(f"/{settings.registry_index}")
