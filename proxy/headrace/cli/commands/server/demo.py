"""`headrace demo`: pipelines at work on a real cluster, in a minute."""

from __future__ import annotations

import signal

import click

from headrace.cli.command import command
from headrace.cli.errors import ExitCode, Failure


@command(
    "Show pipelines at work on a real OpenSearch.",
    example="headrace demo\nheadrace demo --once --opensearch http://127.0.0.1:9200",
    exits=(ExitCode.UNREACHABLE,),
)
@click.option("--opensearch", default="", metavar="URL", help="A running cluster. The demo removes its index again.")
@click.option("--listen", default="127.0.0.1:9280", show_default=True, metavar="HOST:PORT", help="Where the proxy is.")
@click.option("--once", is_flag=True, help="End when everything is shown.")
def demo(opensearch: str, listen: str, once: bool) -> int:
    """Sends 400 documents through a proxy, and shows a document, a query and a result before and after.

    Without --opensearch it fetches OpenSearch into your cache folder, once, and starts it. That needs Java 21.
    """
    from headrace.cli.demo import story
    from headrace.cli.demo.errors import NodeError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        story.run(opensearch, listen, once=once)
    except NodeError as error:
        raise Failure(str(error), code=ExitCode.UNREACHABLE) from None
    return ExitCode.OK
