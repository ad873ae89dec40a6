"""Values of header fields: who calls, which trace a request belongs to, how a body is compressed."""
