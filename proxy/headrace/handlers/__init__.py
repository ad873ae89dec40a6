"""One handler for each surface, read as the flow of its request.

`context` is what they are given, `choice` says which pipelines apply.
"""
