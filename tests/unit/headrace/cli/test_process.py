"""The process: what it takes of the system before it serves."""

from __future__ import annotations

import gc
import resource
from typing import TYPE_CHECKING, Any

import pytest

from headrace.cli import main, process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """What `serve` takes out of garbage collection comes back after the test."""
    yield
    gc.unfreeze()


def test_serving_takes_the_file_numbers_that_it_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen: list[tuple[int, int]] = []

    def run(coroutine: Any) -> None:
        coroutine.close()
        seen.append(resource.getrlimit(resource.RLIMIT_NOFILE))

    monkeypatch.setattr(process.uvloop, "run", run)
    monkeypatch.setattr(process.lines, "configure", lambda settings: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1] // 2, limits[1]))
    try:
        assert main(["serve", "--upstream", "http://127.0.0.1:1", "--state-dir", str(tmp_path)]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert seen == [(limits[1], limits[1])]


def test_a_collection_while_it_serves_passes_by_what_the_imports_have_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[int, int]] = []

    def run(coroutine: Any) -> None:
        coroutine.close()
        seen.append((gc.get_freeze_count(), len(gc.get_objects())))

    monkeypatch.setattr(process.uvloop, "run", run)
    monkeypatch.setattr(process.lines, "configure", lambda settings: None)
    before = len(gc.get_objects())
    assert main(["serve", "--upstream", "http://127.0.0.1:1", "--state-dir", str(tmp_path)]) == 0
    ((frozen, left),) = seen
    assert frozen > before // 2
    assert left < before // 2
