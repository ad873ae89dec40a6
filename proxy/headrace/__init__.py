"""The shell: sockets, cluster, process.

The life of a request, and the module that owns each step:

    in (app) → route (routes) → read and decode (handlers.call, protocol) → choose pipelines (handlers.choice, from
    index_resolver and the live registry) → run query or document stages (runner, headrace_pipelines.executor) → forward
    (upstream) → run result stages (runner) → encode (protocol) → out

What no pipeline concerns goes from `routes` to `handlers.passthrough` and is streamed both ways.
"""
