"""From recorded runs to the costs of the simulation, and tables."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benches.scale.simulation import Costs, Setup, bound, simulate

if TYPE_CHECKING:
    from benches.scale.measuring import Recorded, Run

TOLERANCE = 0.15
"""How far a simulated run may be from the recorded one."""
STEPS = 21
"""Shares of writing that are tried: multiples of a twentieth."""


def setup_of(recorded: Recorded, run: Run) -> Setup:
    """The machine of a recorded run: its cores less what other processes used."""
    return Setup(
        documents=run.documents,
        workers=run.workers,
        node_cores=max(0.1, recorded.cores - run.others),
        shards=recorded.shards,
        items=run.items,
        item=max(0.0, run.engine_cpu) / run.items,
        page=round(recorded.page),
        bytes=recorded.document_bytes,
        rate=run.rate,
        losses=tuple(run.losses),
    )


def costs_of(recorded: Recorded) -> Costs:
    """The measured costs; the share of writing that a bulk waits for is that which suits the first run best."""
    first = recorded.runs[0]

    def error(step: int) -> float:
        costs = Costs(**recorded.costs, waited=step / (STEPS - 1))
        return abs(simulate(setup_of(recorded, first), costs).seconds - first.seconds)

    return Costs(**recorded.costs, waited=min(range(STEPS), key=error) / (STEPS - 1))


def compared(recorded: Recorded) -> list[str]:
    """Recorded and simulated seconds of each run."""
    costs = costs_of(recorded)
    lines = ["| run | cores | measured | simulated | difference |", "|---|---|---|---|---|"]
    for run in recorded.runs:
        setup = setup_of(recorded, run)
        seconds = simulate(setup, costs).seconds
        lines.append(
            f"| {run.name} | {setup.node_cores:.2f} | {run.seconds:.1f} s | {seconds:.1f} s | "
            f"{100 * (seconds / run.seconds - 1):+.0f} % |"
        )
    return lines


CLUSTERS = {
    "1 node of 16 cores, half of it": Setup(
        documents=10**8, workers=4, nodes=1, node_cores=16, share=0.5, worker_cores=4
    ),
    "3 nodes of 16 cores, half of them": Setup(
        documents=10**8, workers=8, nodes=3, node_cores=16, share=0.5, worker_cores=8
    ),
    "12 nodes, a fifth": Setup(documents=10**9, workers=40, nodes=12, node_cores=16, share=0.2, worker_cores=40),
    "12 nodes, all": Setup(documents=10**9, workers=40, nodes=12, node_cores=16, worker_cores=40),
    "12 nodes, all, three workers a core": Setup(
        documents=10**9, workers=120, nodes=12, node_cores=16, worker_cores=40
    ),
    "12 nodes, all, 10 % stragglers": Setup(
        documents=10**9, workers=40, nodes=12, node_cores=16, worker_cores=40, stragglers=0.1
    ),
    "12 nodes, all, a worker lost each 30 s": Setup(
        documents=10**9, workers=40, nodes=12, node_cores=16, worker_cores=40, mtbf=1200, restart=10
    ),
    "100 nodes, a fifth, 10 Gbit/s in all": Setup(
        documents=10**10, workers=300, nodes=100, node_cores=16, share=0.2, worker_cores=300, network=1.25e9
    ),
}
"""Clusters that nobody has measured here."""


def bounds(recorded: Recorded) -> list[str]:
    """The constants of the formula, in microseconds for a document."""
    costs = recorded.costs
    worker, node = (sum(value for name, value in costs.items() if name.startswith(part)) for part in ("worker", "node"))
    return [
        f"| `c_w` | {worker * 1e6:.1f} | reading, the pipeline, the bulk |",
        f"| `c_n` | {node * 1e6:.1f} | {costs['node_read'] * 1e6:.1f} for searching, the rest for indexing |",
    ]


def costs_table(recorded: Recorded) -> list[str]:
    """The same by part."""
    cost = {name: value * 1e6 for name, value in recorded.costs.items()}
    worker = [cost["worker_read"], cost["worker_pipeline"], cost["worker_write"]]
    node = [cost["node_read"], cost["node_write"]]
    return [
        f"| worker | {' | '.join(f'{each:.1f}' for each in worker)} | {sum(worker):.1f} |",
        f"| node | {node[0]:.1f} | - | {node[1]:.1f} | {sum(node):.1f} |",
    ]


def beside(recorded: Recorded) -> list[str]:
    """CPU of work over Parquet: medians of the rounds, in microseconds for a row."""
    lines = []
    for what, name in (("jobs", "`backfill --diff`"), ("frames", "`apply` on a data frame")):
        rounds = [each for each in recorded.parquet if each.what == what]
        if rounds:
            local, spark = (median(side) for side in zip(*((r.local[1], r.spark[1]) for r in rounds), strict=True))
            local, spark = local / rounds[0].rows * 1e6, spark / rounds[0].rows * 1e6
            more = 100 * (spark / local - 1)
            lines.append(f"| {name} | {rounds[0].rows:.0e} | {local:.1f} | {spark:.1f} | {more:+.0f} % |")
    return lines


def extrapolated(recorded: Recorded) -> list[str]:
    """Hours of jobs over clusters that were not measured."""
    costs = costs_of(recorded)
    lines = [
        "| cluster | documents | workers | bound | simulated | docs/s | cluster busy | repeated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, cluster in CLUSTERS.items():
        setup = _sized(cluster, recorded)
        outcome = simulate(setup, costs)
        lines.append(
            f"| {name} | {setup.documents:.0e} | {setup.workers} | {bound(setup, costs) / 60:.0f} min | "
            f"{outcome.seconds / 60:.0f} min | {setup.documents / outcome.seconds / 1e3:.0f} k | "
            f"{100 * outcome.busy:.0f} % | {100 * outcome.repeated / setup.documents:.1f} % |"
        )
    return lines


def _sized(setup: Setup, recorded: Recorded) -> Setup:
    """With a shard for each node, items as a plan cuts them, and documents as they were measured."""
    import msgspec

    items = max(8 * setup.workers, setup.documents // 200_000)
    return msgspec.structs.replace(
        setup, items=items, shards=2 * setup.nodes, page=5000, bytes=recorded.document_bytes, start=15.0
    )
