"""HTTP/1.1 mechanics of both sides (RFC 9110, RFC 9112): header lines, limits of a head, TLS, bodies, splicing.

Nothing here knows OpenSearch, a route or a pipeline. The parsers are in the engine (`wasm-runtime/src/http1`).
"""
