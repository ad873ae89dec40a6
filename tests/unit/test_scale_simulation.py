"""The simulation of jobs: it reproduces recorded runs, and obeys the laws that a schedule has."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from benches.scale.__main__ import RECORDED
from benches.scale.measuring import Recorded
from benches.scale.model import (
    TOLERANCE,
    beside,
    bounds,
    compared,
    costs_of,
    costs_table,
    extrapolated,
    setup_of,
)
from benches.scale.simulation import Costs, Setup, bound, simulate
from tests.conftest import ROOT

COSTS = Costs(worker_read=2e-6, worker_pipeline=4e-6, worker_write=2e-6, node_read=4e-6, node_write=40e-6, waited=0.8)
CLUSTER = Setup(documents=10**6, workers=4, nodes=3, node_cores=4, worker_cores=4, shards=6, items=40, start=5)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)


def test_recorded_runs_are_reproduced(recorded: Recorded):
    """Each within 15 %; the share of writing that is waited for is of the first run alone."""
    costs = costs_of(recorded)
    off = {run.name: simulate(setup_of(recorded, run), costs).seconds / run.seconds - 1 for run in recorded.runs}
    assert len(off) >= 5
    assert {name: difference for name, difference in off.items() if abs(difference) > TOLERANCE} == {}


def test_the_pages_have_the_tables_of_the_recorded_runs(recorded: Recorded):
    """Each number is in one file; pages quote it."""
    page = (ROOT / "docs/explanation/scale-out.md").read_text()
    tables = [costs_table(recorded), compared(recorded), beside(recorded), extrapolated(recorded)]
    assert all(tables)
    for line in itertools.chain(*tables):
        assert line in page
    costs = (ROOT / "docs/explanation/cost-of-backfills.md").read_text()
    for line in bounds(recorded):
        assert line in costs


def test_no_schedule_beats_the_bound_and_a_loss_repeats_pages():
    calm = simulate(CLUSTER, COSTS)
    assert bound(CLUSTER, COSTS) <= calm.seconds < 1.5 * bound(CLUSTER, COSTS)
    assert (calm.lost, calm.repeated, calm.refused) == (0, 0, 0)
    lost = simulate(msgspec.structs.replace(CLUSTER, losses=(6.0, 7.0), restart=5.0), COSTS)
    assert lost.lost == 2
    assert 0 < lost.repeated <= 2 * 25_000
    assert lost.seconds > calm.seconds


def test_stragglers_rates_networks_and_full_nodes_cost_time():
    calm = simulate(CLUSTER, COSTS).seconds
    for changes in ({"stragglers": 0.25, "slowness": 50.0}, {"rate": 20_000.0}, {"network": 20e6}):
        setup = msgspec.structs.replace(CLUSTER, **changes)
        slow = simulate(setup, COSTS).seconds
        assert slow > 1.3 * calm
        assert slow >= bound(setup, COSTS) * 0.99
    narrow = simulate(msgspec.structs.replace(CLUSTER, workers=16, worker_cores=16, room=1), COSTS)
    assert narrow.refused > 0


def test_the_same_setup_has_the_same_outcome():
    setup = msgspec.structs.replace(CLUSTER, mtbf=3.0)
    assert simulate(setup, COSTS) == simulate(setup, COSTS)
    assert simulate(setup, COSTS) != simulate(msgspec.structs.replace(setup, seed=2), COSTS)
