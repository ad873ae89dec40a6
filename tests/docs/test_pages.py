"""Every code block of the pages does what its page says, against a real proxy and a real node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Http, ProxyProcess
from tests.docs.blocks import read
from tests.docs.page import PROXY, Page
from tests.docs.pages import name_of, objects_of, pages, prefix

Serve = Callable[..., tuple[ProxyProcess, Http]]
NOT_RUN = {
    ("CONTRIBUTING.md", "takes 20 minutes"),
    ("CONTRIBUTING.md", "takes up to an hour"),
    ("README.md", "the test has a node and a proxy"),
    ("README.md", "the test has built the environment"),
    ("README.md", "the test has it installed"),
    ("docs/first-pipeline.md", "the test has a node"),
    ("docs/first-pipeline.md", "the test has a proxy"),
    ("docs/first-pipeline.md", "the test has built it"),
    ("docs/howto/complete-in-editors.md", "needs check-jsonschema"),
    ("docs/howto/deploy.md", "installs into the system"),
    ("docs/howto/deploy.md", "needs a Docker engine"),
    ("docs/howto/deploy.md", "needs a cluster of Kubernetes"),
    ("docs/howto/deploy.md", "needs systemd"),
    ("docs/howto/deploy.md", "needs the package"),
    ("docs/howto/hide-personal-data.md", "the test has a proxy with the secret"),
    ("docs/howto/keep-the-registry-secret.md", "needs the state folder of your proxy"),
    ("docs/howto/run-on-spark.md", "needs a cluster of Spark or Ray"),
    ("docs/howto/keep-pipelines-in-git.md", "needs a target that is not there"),
    ("docs/howto/keep-pipelines-in-git.md", "runs until it is stopped"),
    ("docs/howto/reindex-through-a-pipeline.md", "needs a job that ended early"),
    ("docs/howto/run-several-proxies.md", "needs a second host"),
    ("docs/howto/run-several-proxies.md", "runs until it is stopped"),
    ("docs/howto/share-a-cluster.md", "runs until it is stopped"),
    ("docs/howto/see-what-pipelines-do.md", "runs until it is stopped"),
    ("docs/howto/test-pipelines.md", "needs pytest in your environment"),
    ("docs/howto/test-pipelines.md", "runs until it is stopped"),
    ("proxy/README.md", "the test has it installed and running"),
    ("docs/howto/trace-requests.md", "the test has a proxy"),
    ("docs/howto/use-the-page.md", "needs a cluster of Kubernetes"),
    ("docs/howto/use-the-page.md", "the test has a proxy"),
    ("docs/howto/trace-requests.md", "the test has it installed"),
}
"""Page and reason of each block that is not run."""


@pytest.mark.node
@pytest.mark.parametrize("path", pages(), ids=name_of)
async def test_the_blocks_of_a_page(
    path: Path, node: str, direct: Http, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEADRACE_SECRET_HIDE", "of hide-personal-data.md")
    blocks = read(path, name_of(path))
    objects = objects_of(blocks)
    page = Page(tmp_path / "page", node=urlsplit(node).netloc)
    page.folder.mkdir()
    await remove(direct, objects)
    try:
        if any(PROXY in block.text for block in blocks if not block.no_run):
            process, http = serve()
            await process.ready(http)
            page.proxy = urlsplit(process.url).netloc
        await asyncio.to_thread(page.run, blocks)
    finally:
        await remove(direct, objects)


async def remove(direct: Http, objects: set[str]) -> None:
    """Removes what an earlier or this run of a page has left in the cluster."""
    for path in objects:
        assert (await direct.delete(f"/{path}")).status in (200, 404), path


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_names_in_the_cluster_begin_with_the_first_word_of_the_page(path: Path):
    for name in objects_of(read(path, name_of(path))):
        assert name.rsplit("/", 1)[-1].startswith(prefix(path)), name


def test_the_blocks_that_are_not_run_are_these():
    found = {(name_of(path), block.no_run) for path in pages() for block in read(path, name_of(path)) if block.no_run}
    assert found == NOT_RUN
