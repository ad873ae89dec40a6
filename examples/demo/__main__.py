"""Runs the demo: `make demo`, or `make demo ONCE=1` to end by itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import bulk

from devnode import NodeError, running_node, stop_on_sigterm
from examples.demo.data import MAPPING, tickets
from examples.demo.pipelines import PIPELINES, SETTINGS, udfs

INDEX = "headrace-demo"
LISTEN = os.environ.get("HEADRACE_LISTEN", "127.0.0.1:9280")
START_SECONDS = 30
INTERRUPTED = 130


def say(text: str = "") -> None:
    """A line of the demo's story."""
    print(text, flush=True)


def show(label: str, value: Any) -> None:
    """A value under its label, as JSON on one line."""
    say(f"   {label:<7} {json.dumps(value)}")


@contextlib.contextmanager
def proxy(upstream: str) -> Any:
    """A proxy in front of `upstream`, with a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as state:
        options = ["--upstream", upstream, "--listen", LISTEN, "--state-dir", state, "--log-level", "warning"]
        process = subprocess.Popen([sys.executable, "-m", "headrace", "serve", *options])
        try:
            client = OpenSearch(f"http://{LISTEN}", timeout=60)
            wait_for(client, process)
            yield client
            client.close()
        finally:
            process.terminate()
            process.wait(30)


def wait_for(client: OpenSearch, process: subprocess.Popen[bytes]) -> None:
    """Returns when the proxy is ready; says why if it is not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(Exception):
            client.transport.perform_request("GET", "/_proxy/health/ready")
            return
        time.sleep(0.1)
    raise NodeError(f"the proxy did not become ready on {LISTEN} (is the port in use? HEADRACE_LISTEN=127.0.0.1:PORT)")


def register(client: OpenSearch) -> None:
    """Uploads the UDFs and the pipelines."""
    for name, upload in udfs().items():
        made = client.transport.perform_request("PUT", f"/_udf/{name}", body=upload)
        say(f"   UDF {name}@{made['version']}: {made['language']}, {made['size']} bytes, {made['abi']} ABI")
    for name, definition in PIPELINES.items():
        made = client.transport.perform_request("PUT", f"/_pipeline/{name}", body=definition)
        stages = " > ".join(stage["name"] for stage in definition["stages"])
        say(f"   {made['type']} pipeline {name}@{made['version']}: {stages}")


def index(client: OpenSearch) -> None:
    """Creates the index with its pipelines and sends the tickets through `_bulk`."""
    if client.indices.exists(index=INDEX):
        client.indices.delete(index=INDEX)
    client.indices.create(index=INDEX, body={"settings": SETTINGS, "mappings": MAPPING})
    documents = tickets()
    actions = [{"_index": INDEX, "_id": str(i), "_source": ticket} for i, ticket in enumerate(documents)]
    start = time.monotonic()
    sent, _ = bulk(client, actions, chunk_size=200, refresh=True)
    there = client.cat.count(index=INDEX, format="json")[0]["count"]
    took = time.monotonic() - start
    say(f"   sent {sent} tickets in {took:.2f} s, {there} are in the index: DEBUG ones were dropped")
    say("\n== A document, before and after")
    show("sent", documents[1])
    show("stored", client.get(index=INDEX, id="1")["_source"])


def search(client: OpenSearch) -> None:
    """One search, with what its pipelines made of request and answer."""
    body = {"query": {"match": {"subject": "search"}}, "_source": ["subject", "tenant", "level"]}
    tried = client.transport.perform_request("POST", "/_pipeline/tickets-query/_execute", body={"input": body})
    say("\n== A query, before and after")
    show("sent", body)
    show("runs", tried["output"])
    plain = "query_pipeline=_none&result_pipeline=_none"
    raw = client.transport.perform_request("POST", f"/{INDEX}/_search?{plain}", body=body)
    found = client.search(index=INDEX, body=body)
    say("\n== A result, before and after")
    summary(raw, "without")
    summary(found, "with")


def summary(answer: dict[str, Any], label: str) -> None:
    """What came back, in short."""
    hits = answer["hits"]
    tenants = sorted({hit["_source"]["tenant"] for hit in hits["hits"]})
    show(label, {"total": hits["total"]["value"], "hits": len(hits["hits"]), "tenants": tenants})


def run(*, once: bool) -> None:
    """The whole story."""
    say("== OpenSearch")
    with running_node() as upstream:
        say(f"   {upstream}")
        say("== Headrace")
        with proxy(upstream) as client:
            say(f"   http://{LISTEN}")
            say("== UDFs and pipelines")
            register(client)
            say("== Indexing through the proxy")
            index(client)
            search(client)
            if once:
                return
            say(f"\nThe proxy stays up on http://{LISTEN} until Ctrl-C. Try:")
            say(f"   curl -s 'http://{LISTEN}/{INDEX}/_search?q=subject:invoice&pretty'")
            say(f"   curl -s 'http://{LISTEN}/_pipeline/tickets-in/_stats?pretty'")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()


def main() -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the story is told")
    once = parser.parse_args().once
    stop_on_sigterm()
    try:
        run(once=once)
    except KeyboardInterrupt:
        return INTERRUPTED
    except NodeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
