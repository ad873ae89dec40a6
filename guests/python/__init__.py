"""CPython as a guest."""
