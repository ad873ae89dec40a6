"""A real OpenSearch node for the demo and the tests, with no Docker and no package of the distribution.

The server comes from Maven Central (`fetch`), runs on a Java that is new enough (`java`), and each start has a run
folder of its own (`node`), so that any number of nodes share one unpacked server. `OPENSEARCH_URL` names a running
one instead.
"""

from devnode.errors import NodeError
from devnode.node import Node, running_node, stop_on_sigterm

__all__ = ["Node", "NodeError", "running_node", "stop_on_sigterm"]
