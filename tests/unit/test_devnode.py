from __future__ import annotations

import socket

import pytest

from devnode import NodeError
from devnode.node import Node


def test_a_node_on_a_port_that_is_in_use_fails_before_it_starts():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NodeError, match=f"port {port} cannot be listened on: Address already in use"):
            Node(port).start()
