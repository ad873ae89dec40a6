"""The node side: connections to the nodes of the cluster, requests to them and their responses.

`client.Upstream` is what everything else uses: it picks a node (`nodes`), has a request sent, and tries again where it
may. A `pool.ConnectionPool` makes connections and keeps them between two requests. A `connection.NodeConnection` is
one connection: the engine's parser reads its bytes, `states` says what may follow what. `sending` writes requests.
A `pending.PendingResponse` is a request that has been sent; it becomes a `response.BufferedResponse`, whole, or a
`response.StreamedResponse`, whose body is read in pieces or spliced by the kernel.

A connection is used again only where its response was complete, nothing came behind it, the request had left whole, and
the node did not refuse it in a way after which it reads no more (`http1.head_limits`).
"""
