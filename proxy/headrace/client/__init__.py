"""The client of a proxy: typed calls over opensearch-py's transport.

`Client` and `AsyncClient` do what docs/reference/rest-api.md describes.
The package imports nothing of the server.
"""
