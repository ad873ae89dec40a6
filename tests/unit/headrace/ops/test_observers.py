"""Observers of runs: the fault of one is nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.ops.observers import run_observed, skip_observed
from headrace.ops.runner import Runner
from headrace.settings import Settings
from headrace_pipelines import Bulk, Pipelines, RunOptions
from tests.conftest import native

PIPELINE = Pipelines.load(
    {"p": {"type": "document", "stages": [native("lower", "lowercase", field="a")]}}
)._snapshot.find("p")


class Observer:
    """Raises in one of its methods; notes what is called."""

    def __init__(self, raises: str = "") -> None:
        self.raises = raises
        self.called: list[str] = []

    def _note(self, name: str) -> None:
        self.called.append(name)
        if name == self.raises:
            raise ValueError(name)

    def skip(self, *_: Any) -> None:
        self._note("skip")

    def start(self, *_: Any) -> Any:
        self._note("start")
        return self

    def read(self, _: Any) -> None:
        self._note("read")

    def finish(self, _: Any) -> None:
        self._note("finish")


@pytest.mark.parametrize("raises", ["skip", "start", "read", "finish"])
async def test_an_observer_that_fails_hinders_nobody(raises: str, caplog: pytest.LogCaptureFixture):
    bad, good = Observer(raises), Observer()
    bulk = Bulk(b'{"index":{"_id":"1"}}\n{"a":"A"}\n', index="i")

    def make() -> Any:
        return bulk.batch([0])

    batch, runner, absorbed = make(), Runner(Settings()), []
    try:
        await run_observed(runner, (bad, good), PIPELINE, batch, make, RunOptions(), absorbed.append)
    finally:
        runner.close()
    skip_observed((bad, good), PIPELINE, 1, make)
    assert batch.document(0) == b'{"a":"a"}'
    assert absorbed == [batch]
    assert good.called == ["start", "read", "finish", "skip"]
    assert bad.called == (["start", "skip"] if raises == "start" else good.called)
    assert "an observer of pipelines failed" in caplog.text
