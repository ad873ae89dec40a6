"""Ray of this machine: datasets of indexes, and a job whose workers are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace_pipelines import Pipelines
from tests.conftest import Http
from tests.node.backfill import corpus
from tests.node.backfill.corpus import contents, expected, filled
from tests.scale.conftest import JOB_SECONDS, bundle, ray_workers, survived
from tests.scale.test_spark import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A Ray with two processors, on loopback alone."""
    ray = pytest.importorskip("ray", reason="the dependency group scale is not installed")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 << 20,
        _node_ip_address="127.0.0.1",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


async def test_an_index_through_datasets(ray_here, node: str, direct: Http, name: str):
    from headrace.ray import apply, read_index, write_index

    source, target = f"{name}-1", f"{name}-2"
    await filled(direct, source, 4000)
    await corpus.created(direct, target, shards=2)
    made = bundle(*STAGES)
    for conflicts in (0, 4000 - 571 - 7):
        applied = apply(read_index(url=node, index=source, workers="2"), "p", bundle=made)
        counts = write_index(applied, url=node, index=target, dead_letters=f"{name}-dead")
        assert (counts.read, counts.dropped, counts.failed, counts.conflicts) == (4000, 571, 7, conflicts)
        assert counts.written == 4000 - 571 - 7 - conflicts
    assert await contents(direct, target) == await expected(direct, Pipelines.of(made), "p", source)


@pytest.mark.timeout(JOB_SECONDS)
async def test_a_job_survives_killed_workers(ray_here, backfill, through: Http, direct: Http, name: str):
    """`headrace backfill --engine ray`, with live writes and workers that end in the middle of their items."""
    await survived(backfill, through, direct, name, ray_workers, "ray")
