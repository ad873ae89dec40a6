"""`headrace demo`: a real OpenSearch, a proxy, and pipelines at work on a small data set of tickets.

`story` tells it. `download`, `java` and `node` start an OpenSearch where none is named.
"""
