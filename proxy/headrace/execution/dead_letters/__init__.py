"""Dead letters: documents that end as errors are written to a stream before the client has its answer."""
