"""Tests of UDFs and pipelines with pytest, in the sandbox of the proxy."""
