"""What the demo shows: documents, a query and a result, before and after their pipelines."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException
from opensearchpy.helpers import bulk

from headrace.cli.demo.data import MAPPING, tickets
from headrace.cli.demo.errors import NodeError
from headrace.cli.demo.node import Node, require_free
from headrace.cli.demo.pipelines import PIPELINES, SETTINGS, UDFS
from headrace.client import transport

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX = f"headrace-demo-{secrets.token_hex(3)}"
"""The index of this run: one that a cluster of somebody else cannot have."""
START_SECONDS = 30
"""Seconds until the proxy must be ready. It needs one; a busy machine needs more."""


def run(opensearch: str, listen: str, *, once: bool) -> None:
    """Tells the whole story, then keeps the proxy up until Ctrl-C, or ends where `once` says so.

    `opensearch` is the URL of a cluster; where it is empty a node runs as long as the demo. Raises NodeError.
    """
    require_free(listen)
    say("== OpenSearch")
    with _cluster(opensearch) as upstream:
        say(f"   {upstream}")
        say("== Headrace")
        with _proxy(upstream, listen) as client:
            say(f"   http://{listen}")
            _tell(client)
            if not once:
                _stay(listen)


def _tell(client: OpenSearch) -> None:
    say("== UDFs and pipelines")
    register(client)
    say("== Indexing through the proxy")
    index(client)
    search(client)


def _stay(listen: str) -> None:
    say(f"\nThe proxy stays up on http://{listen} until Ctrl-C. Try:")
    say(f"   curl -s 'http://{listen}/{INDEX}/_search?q=subject:invoice&pretty'")
    say(f"   headrace pipeline stats tickets-in --url http://{listen}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextlib.contextmanager
def _cluster(url: str) -> Iterator[str]:
    """The URL of a cluster: the given one, else that of a node which runs as long as the context."""
    if url:
        if not url.startswith(("http://", "https://")):
            raise NodeError(f"[{url}] is not an http:// or https:// URL")
        try:
            with OpenSearch(url, timeout=10, max_retries=0) as cluster:
                cluster.info()
        except OpenSearchException as error:
            raise NodeError(str(transport.raised(error, url))) from None
        yield url.rstrip("/")
        return
    node = Node()
    try:
        node.start()
        yield node.url
    finally:
        node.stop()


@contextlib.contextmanager
def _proxy(upstream: str, listen: str) -> Iterator[OpenSearch]:
    """A proxy in front of `upstream`, with a state folder and a registry index of its own."""
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as state:
        options = ["--upstream", upstream, "--listen", listen, "--state-dir", state, "--log-level", "warning"]
        registry = f".{INDEX}-registry"
        command = [sys.executable, "-m", "headrace", "serve", *options, "--registry-index", registry]
        # Settings of the user are for another proxy: an admin token of theirs would bar the demo from its own.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        process = subprocess.Popen(command, env=environment)
        try:
            client = OpenSearch(f"http://{listen}", timeout=60)
            _wait(client, process, listen)
            yield client
            client.close()
        finally:
            try:
                process.terminate()
                process.wait(30)
            finally:
                _clean(upstream, registry)


def _wait(client: OpenSearch, process: subprocess.Popen[bytes], listen: str) -> None:
    """Returns when the proxy is ready. Raises NodeError that says why it is not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(Exception):
            client.transport.perform_request("GET", "/_proxy/health/ready")
            return
        time.sleep(0.1)
    raise NodeError(f"the proxy is not ready on {listen}. Is the port in use? Choose another one with --listen")


def register(client: OpenSearch) -> None:
    """Uploads the UDFs and the pipelines."""
    for name, upload in UDFS.items():
        stored = client.transport.perform_request("PUT", f"/_udf/{name}", body=upload)
        say(f"   UDF {name}@{stored['version']}: {stored['language']}, {stored['size']} bytes")
    for name, definition in PIPELINES.items():
        stored = client.transport.perform_request("PUT", f"/_pipeline/{name}", body=definition)
        stages = " > ".join(stage["name"] for stage in definition["stages"])
        say(f"   {stored['type']} pipeline {name}@{stored['version']}: {stages}")


def index(client: OpenSearch) -> None:
    """Creates the index with its pipelines and sends the tickets through `_bulk`."""
    client.indices.create(index=INDEX, body={"settings": SETTINGS, "mappings": MAPPING})
    documents = tickets()
    actions = [{"_index": INDEX, "_id": str(i), "_source": ticket} for i, ticket in enumerate(documents)]
    start = time.monotonic()
    sent, _ = bulk(client, actions, chunk_size=200, refresh=True)
    stored = client.cat.count(index=INDEX, format="json")[0]["count"]
    took = time.monotonic() - start
    say(f"   sent {sent} tickets in {took:.2f} s, {stored} are in the index: DEBUG ones were dropped")
    say("\n== A document, before and after")
    show("sent", documents[1])
    show("stored", client.get(index=INDEX, id="1")["_source"])


def search(client: OpenSearch) -> None:
    """Runs one search, and shows what its pipelines made of request and answer."""
    body = {"query": {"match": {"subject": "search"}}, "_source": ["subject", "tenant", "level"]}
    tried = client.transport.perform_request("POST", "/_pipeline/tickets-query/_execute", body={"input": body})
    say("\n== A query, before and after")
    show("sent", body)
    show("runs", tried["output"])
    plain = "query_pipeline=_none&result_pipeline=_none"
    raw = client.transport.perform_request("POST", f"/{INDEX}/_search?{plain}", body=body)
    found = client.search(index=INDEX, body=body)
    say("\n== A result, before and after")
    _summarise(raw, "without")
    _summarise(found, "with")


def _summarise(answer: dict[str, Any], label: str) -> None:
    hits = answer["hits"]
    tenants = sorted({hit["_source"]["tenant"] for hit in hits["hits"]})
    show(label, {"total": hits["total"]["value"], "hits": len(hits["hits"]), "tenants": tenants})


def _clean(upstream: str, registry: str) -> None:
    """Removes what the demo has created: a cluster of somebody else is left as it was."""
    with contextlib.suppress(OpenSearchException), OpenSearch(upstream) as cluster:
        cluster.indices.delete(index=f"{INDEX},{registry}", ignore_unavailable=True)


def say(text: str = "") -> None:
    """Prints a line of the story."""
    print(text, flush=True)


def show(label: str, value: Any) -> None:
    """Prints a value under its label, as JSON on one line."""
    say(f"   {label:<7} {json.dumps(value)}")
