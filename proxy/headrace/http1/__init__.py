"""HTTP/1.1 mechanics that both sides use: bodies as they arrive, long ones inside the kernel.

The parsers are in Rust (`headrace_pipelines.http1`).
"""
