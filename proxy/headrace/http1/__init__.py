"""HTTP/1.1 mechanics of both sides.

`headers` filters header lines, `head_limits` has the limits of a node's parser, `body` is the body of a request as it
arrives, `framing` writes chunks, `splice` moves long bodies inside the kernel, `tls` makes the contexts. The parsers of
heads and chunks are in Rust (`headrace_pipelines.http1`); its `http1/fields.rs` drops the same hop-by-hop headers as
`headers` on forwarded heads.
"""
