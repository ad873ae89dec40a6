"""Runs that change nothing: definitions on documents of a request, and what an index holds already."""
