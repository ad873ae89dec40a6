"""One handler for each surface, and the table of routes.

A handler gets a `server.request.RequestContext`, lets `execution` choose and run pipelines, and answers. The folders
`write`, `search`, `admin` and `system` do not import each other. Beside them:

- `routes` is the table: one row has everything that is known of a route;
- `bypass` decides which requests the fast path forwards without a handler;
- `passthrough` streams a request to the cluster and its response back;
- `unread` does so for endpoints that show and write no document, and refuses others while something is protected;
- `unsupported` refuses surfaces on which pipelines do not run.
"""
