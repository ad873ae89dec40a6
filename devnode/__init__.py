"""A real OpenSearch node for the demo and the tests, with no Docker and no package of the distribution.

The server comes from Maven Central (`fetch`). It starts as that of `headrace demo` does: on a Java that is new enough,
with a run folder of its own for each start, so that any number of nodes share one unpacked server. `OPENSEARCH_URL`
names a running one instead.
"""

from devnode.node import Node, running_cluster, running_node, stop_on_sigterm
from headrace.cli.demo.errors import NodeError

__all__ = ["Node", "NodeError", "running_cluster", "running_node", "stop_on_sigterm"]
