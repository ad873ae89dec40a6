"""`python -m benches.scale measure --node URL --pid PID`, and `… table`, and `… parquet`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import msgspec

from benches.scale import measuring, model, parquet
from benches.scale.measuring import Bench, Recorded, Run

RECORDED = Path(__file__).parent / "recorded.json"
"""The runs that the simulation is compared with."""


def spark_run(bench: Bench) -> Run:
    """Two slots of a local Spark."""
    from headrace import spark

    began = time.monotonic()
    with spark.running("local[2]") as session:
        engine = spark.SparkEngine(session)
        engine.run(bench.job(diff=True), bench.items(2)[:2])
        return bench.run("spark 2", engine, 2, start=time.monotonic() - began)


def ray_run(bench: Bench) -> Run:
    """Two processors of a local Ray."""
    import ray as rays

    from headrace.ray import RayEngine

    began = time.monotonic()
    rays.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20,
              _node_ip_address="127.0.0.1")  # fmt: skip
    try:
        engine = RayEngine()
        engine.run(bench.job(diff=True), bench.items(2)[:2])
        return bench.run("ray 2", engine, 2, start=time.monotonic() - began)
    finally:
        rays.shutdown()


def measure(url: str, node: int, documents: int, engines: list[str]) -> Recorded:
    """All runs, one after the other."""
    bench = Bench(url, node, documents)
    bench.fill()
    with measuring.LocalEngine(1) as engine:
        bench.run("warm-up", engine, 1)
    worker_read, node_read, page = bench.reads()
    pipeline = bench.runs()
    runs = measuring.local_runs(bench)
    runs += [run(bench) for name, run in (("spark", spark_run), ("ray", ray_run)) if name in engines]
    first = runs[0]
    worker, node_all = first.worker_cpu / documents, first.node_cpu / documents
    costs = {
        "worker_read": worker_read,
        "worker_pipeline": pipeline,
        "worker_write": max(0.0, worker - worker_read - pipeline),
        "node_read": node_read,
        "node_write": node_all - node_read,
    }
    return Recorded(machine=measuring.machine(), cores=os.cpu_count() or 1, document_bytes=bench.length / documents,
                    page=page, shards=measuring.SHARDS, costs=costs, runs=runs)  # fmt: skip


def main() -> None:
    """Measures, or prints tables."""
    parser = argparse.ArgumentParser(prog="python -m benches.scale", description=__doc__)
    parser.add_argument("what", choices=("measure", "table", "parquet"))
    parser.add_argument("--node", default="http://127.0.0.1:9201")
    parser.add_argument("--pid", type=int, default=0, help="process id of the node")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--engines", nargs="*", default=["spark", "ray"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where files of Parquet are")
    parser.add_argument("--record", action="store_true", help="keep the result in recorded.json, which pages quote")
    given = parser.parse_args()
    recorded = msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)
    if given.what == "parquet":
        recorded.parquet = parquet.measure(given.folder, given.rows, given.rounds)
    if given.what == "measure":
        new = measure(given.node, given.pid, given.documents, given.engines)
        recorded = msgspec.structs.replace(new, parquet=recorded.parquet)
    if given.what != "table" and given.record:
        RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(recorded), indent=2) + b"\n")
    for table in (model.bounds, model.costs_table, model.compared, model.beside, model.extrapolated):
        print("\n".join(table(recorded)), end="\n\n")


if __name__ == "__main__":
    main()
