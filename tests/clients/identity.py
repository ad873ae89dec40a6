"""Pipelines that change nothing, on every index: what runs through them must look as if it had not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import wasm

if TYPE_CHECKING:
    from tests.conftest import Http

CODE = "def process(doc):\n    return doc\n"


async def attach_identity(through: Http, name: str, *, final: bool = False) -> None:
    """Attaches a pipeline of each type, with one Python UDF that returns what it gets, to all indexes."""
    await through.put(f"/_udf/{name}", {"language": "python", "source": CODE})
    for kind in ("document", "query", "result"):
        await through.pipeline(name, kind, wasm("identity", name))
    slots = dict.fromkeys(("document", "query", "result"), {"final_pipeline": name} if final else name)
    made = await through.put("/_pipeline/_association/*", slots)
    assert made.status in (200, 201), made.body
